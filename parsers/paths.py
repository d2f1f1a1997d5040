"""Paths of files without `pathlib`, whose import takes 10 ms.

To a type checker `Path` is the one of `pathlib`; tests compare what both answer. What
few commands ask of a path is left to `pathlib`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
else:
    import errno
    import os
    import stat

    # What `pathlib` takes for "there is no such file".
    _ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)
    # What stands in a URI as it is.
    _PLAIN = frozenset(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-._~"
    )

    class Path:
        """The path of a file or directory: unchangeable, equal to one of equal text."""

        __slots__ = ("_text",)

        def __init__(self, *parts):
            text = "/".join(map(os.fspath, filter(None, parts)))
            if text[-1:] in "/." or "//" in text or "/." in text or text[:2] == "./":
                # An absolute part, or an empty one, makes two slashes.
                text = os.path.join(*parts) if parts else ""
                names = (name for name in text.split("/") if name not in {"", "."})
                text = "/" * text.startswith("/") + "/".join(names) or "."
            self._text = text

        @classmethod
        def cwd(cls):
            return cls(os.getcwd())

        @classmethod
        def home(cls):
            return cls("~").expanduser()

        def __fspath__(self):
            return self._text

        __str__ = __fspath__

        def __repr__(self):
            return f"Path({self._text!r})"

        def __hash__(self):
            return hash(self._text)

        def __eq__(self, other):
            if isinstance(other, str) or not hasattr(other, "__fspath__"):
                return NotImplemented
            return self._text == os.fspath(other)

        def __lt__(self, other):
            return self.parts < Path(other).parts

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(name)
            import pathlib  # noqa: PLC0415 - few commands need it

            return getattr(pathlib.Path(self._text), name)

        def __truediv__(self, name):
            return Path(self._text, name)

        @property
        def parts(self):
            names = tuple(filter(None, self._text.split("/"))) * (self._text != ".")
            return ("/", *names) if self.is_absolute() else names

        @property
        def name(self):
            return self._text.rpartition("/")[2] * (self._text != ".")

        @property
        def stem(self):
            head, _, end = self.name.rpartition(".")
            return head if head and end else self.name

        @property
        def parent(self):
            head, slash, _ = self._text.rpartition("/")
            return Path(head or slash or ".")

        @property
        def parents(self):
            above = self.parent
            return () if above == self else (above, *above.parents)

        def is_absolute(self):
            return self._text.startswith("/")

        def with_name(self, name):
            return self.parent / name

        def is_relative_to(self, other):
            other = Path(other)
            above, is_same = other.parts, other.is_absolute() == self.is_absolute()
            return is_same and self.parts[: len(above)] == above

        def relative_to(self, other):
            if not self.is_relative_to(other):
                message = f"{self._text!r} is not in the subpath of {str(other)!r}"
                raise ValueError(message)
            return Path(*self.parts[len(Path(other).parts) :])

        def absolute(self):
            return self if self.is_absolute() else Path(os.getcwd(), self._text)

        def resolve(self):
            return Path(os.path.realpath(self._text))

        def expanduser(self):
            found = os.path.expanduser(self._text)
            if found.startswith("~") and self._text.startswith("~"):
                message = "Could not determine home directory."
                raise RuntimeError(message)
            return Path(found)

        def as_uri(self):
            text = os.fsencode(self._text).decode("latin-1")
            return "file://" + "".join(
                each if each in _PLAIN else f"%{ord(each):02X}" for each in text
            )

        def stat(self, *, follow_symlinks=True):
            return os.stat(self._text, follow_symlinks=follow_symlinks)

        def _mode(self):
            try:
                return os.stat(self._text).st_mode
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
            except ValueError:  # a null byte
                pass
            return 0

        def exists(self):
            return self._mode() != 0

        def is_dir(self):
            return stat.S_ISDIR(self._mode())

        def is_file(self):
            return stat.S_ISREG(self._mode())

        def iterdir(self):
            return (self / name for name in os.listdir(self._text))

        def open(
            self, mode="r", buffering=-1, encoding=None, errors=None, newline=None
        ):
            return open(self._text, mode, buffering, encoding, errors, newline)

        def glob(self, pattern):
            import pathlib  # noqa: PLC0415 - few commands need it

            return map(Path, pathlib.Path(self._text).glob(pattern))

        def read_bytes(self):
            with open(self._text, "rb") as file:
                return file.read()

        def read_text(self, encoding=None, errors=None):
            with open(self._text, encoding=encoding, errors=errors) as file:
                return file.read()

        def write_text(self, text, encoding=None):
            with open(self._text, "w", encoding=encoding) as file:
                return file.write(text)

        def mkdir(self, mode=0o777, parents=False, exist_ok=False):
            try:
                os.mkdir(self._text, mode)
            except FileNotFoundError:
                if not parents or self.parent == self:
                    raise
                self.parent.mkdir(parents=True, exist_ok=True)
                self.mkdir(mode, exist_ok=exist_ok)
            except OSError:
                if not exist_ok or not self.is_dir():
                    raise

        def unlink(self, missing_ok=False):
            try:
                os.unlink(self._text)
            except FileNotFoundError:
                if not missing_ok:
                    raise

        def rmdir(self):
            os.rmdir(self._text)

        def chmod(self, mode):
            os.chmod(self._text, mode)

        def rename(self, target):
            os.rename(self._text, target)
            return Path(target)

        def replace(self, target):
            os.replace(self._text, target)
            return Path(target)


__all__ = ["Path"]
