"""x."""

SUMMARY = "x"
EXAMPLES = "x"


def arguments(parser):
    pass


def main(found, house):
    return 0
