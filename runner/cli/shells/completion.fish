# Completion for fish. In ~/.config/fish/config.fish: codex-tasks completion fish | source

function __codex_tasks_complete
    set -l program (string replace -r '^~(?=/)' -- $HOME (commandline -opc)[1])
    set program (string replace -r '[^/]*$' codex-tasks -- $program)
    command -q -- $program; or return
    set -l line (commandline -pc | string collect)
    set -l found (command $program completion fish --line="$line" 2>/dev/null)
    switch "$found[1]"
        case files
            complete -C "'' "(commandline -ct | string collect)
        case directories
            complete -C "'' "(commandline -ct | string collect) | string match -r '^[^\t]*/(?:\t.*)?$'
        case words
            set -q found[2]; and printf '%s\n' $found[2..-1]
    end
end

complete -c codex-tasks -c run_codex_task -c parse_codex_run -c codex-agent -c codex-bg -e
complete -c codex-tasks -c run_codex_task -c parse_codex_run -c codex-agent -c codex-bg -f -k -a '(__codex_tasks_complete)'
