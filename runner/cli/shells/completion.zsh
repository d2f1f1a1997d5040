#compdef codex-tasks run_codex_task parse_codex_run codex-agent codex-bg
# Completion for zsh. In ~/.zshrc, behind compinit: source <(codex-tasks completion zsh)
# It can also be saved as _codex-tasks in a directory of $fpath.

_codex_tasks() {
    local line program=${${(Q)words[1]}/#\~/$HOME}
    local -a found pairs
    found=("${(@f)$("${program%"${program##*/}"}codex-tasks" completion zsh 2>/dev/null \
        --line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX")}")
    for line in "${(@)found[2,-1]}"; do
        pairs+=("${${${line%%$'\t'*}//\\/\\\\}//:/\\:}:${line#*$'\t'}")
    done
    [[ $found[1] == words || $PREFIX != -*=* ]] || compset -P '*='
    case $found[1] in
        files) _files ;;
        directories) _directories ;;
        words) _describe -V codex-tasks pairs -M 'm:{a-zA-Z}={A-Za-z}' ;;
    esac
}

(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _codex_tasks codex-tasks run_codex_task parse_codex_run codex-agent codex-bg
[[ $funcstack[1] != _codex-tasks ]] || _codex_tasks
