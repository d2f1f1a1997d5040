# codex-tasks: completion for fish. Put this into ~/.config/fish/config.fish:
#   codex-tasks completion fish | source

function __codex_tasks_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~(?=/)' -- $HOME $words[1])
    command -q -- $program; or return
    set -l found (printf '%s\0' $words[2..-1] "$current" |
        command $program completion fish --words 2>/dev/null)
    switch "$found[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current" ''
        case words
            set -q found[2]; and printf '%s\n' $found[2..-1]
    end
end

complete -c codex-tasks -e
complete -c codex-tasks -f -k -a '(__codex_tasks_complete)'
