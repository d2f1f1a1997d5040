# Completion for bash. In ~/.bashrc: eval "$(codex-tasks completion bash)"

_codex_tasks() {
    local kind='' word means shown=() piece=${COMP_WORDS[COMP_CWORD]}
    local directory=${COMP_WORDS[0]%"${COMP_WORDS[0]##*/}"}
    COMPREPLY=()
    while IFS=$'\t' read -r word means; do
        [[ $kind ]] || { kind=$word && continue; }
        # Behind a quote readline itself writes what must be quoted.
        [[ $piece == [\'\"]* ]] || printf -v word %q "$word"
        COMPREPLY+=("$word")
        shown+=("$word${means:+  ($means)}")
    done < <("${directory/#\~/$HOME}codex-tasks" completion bash 2>/dev/null \
        --line="${COMP_LINE:0:COMP_POINT}" --piece="$piece")
    case $kind in
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
        *) compopt -o nosort
            # What is only listed can say more than what is put into the line.
            if [[ ${#shown[@]} -gt 1 && ${COMP_TYPE-} =~ ^(33|63|64)$ ]]; then
                COMPREPLY=("${shown[@]}")
            elif [[ $piece == [\'\"]* ]]; then
                compopt -o filenames
            fi ;;
    esac 2>/dev/null
    return 0
}

complete -F _codex_tasks codex-tasks run_codex_task parse_codex_run codex-agent codex-bg
