# codex-tasks: completion for bash. To have it in every shell, put this into ~/.bashrc:
#   eval "$(codex-tasks completion bash)"

_codex_tasks() {
    local kind='' word means shown=()
    COMPREPLY=()
    while IFS=$'\t' read -r word means; do
        if [[ -z $kind ]]; then
            kind=$word
        else
            COMPREPLY+=("$word")
            shown+=("$word${means:+  ($means)}")
        fi
    done < <(
        printf '%s\0' "${COMP_WORDS[@]:1:COMP_CWORD}" |
            "${COMP_WORDS[0]/#\~/$HOME}" completion bash --words 2>/dev/null
    )
    case $kind in
        files) compopt -o default 2>/dev/null ;;
        directories) compopt -o dirnames 2>/dev/null ;;
        *) compopt -o nosort 2>/dev/null ;;
    esac
    # What is only listed can say more than what is put into the line.
    if [[ ${#COMPREPLY[@]} -gt 1 && ${COMP_TYPE-} =~ ^(33|63|64)$ ]]; then
        COMPREPLY=("${shown[@]}")
    fi
    return 0
}

complete -F _codex_tasks codex-tasks
