#compdef codex-tasks
# codex-tasks: completion for zsh. Put this into ~/.zshrc, behind compinit:
#   source <(codex-tasks completion zsh)
# or save it as _codex-tasks in a directory of $fpath.

_codex_tasks() {
    local kind line means
    local -a lines pairs
    lines=("${(@f)$(
        printf '%s\0' "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" |
            "${(Q)words[1]/#\~/$HOME}" completion zsh --words 2>/dev/null
    )}")
    kind=$lines[1]
    for line in "${(@)lines[2,-1]}"; do
        means=${line#*$'\t'}
        pairs+=("${${line%%$'\t'*}//:/\\:}${means:+:$means}")
    done
    case $kind in
        files) _files ;;
        directories) _files -/ ;;
        *) (( $#pairs )) && _describe -V codex-tasks pairs ;;
    esac
}

if [[ $funcstack[1] == _codex-tasks ]]; then
    _codex_tasks "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _codex_tasks codex-tasks
fi
