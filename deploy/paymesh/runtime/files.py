"""Files and directories with exact modes and owners, written so that a kill leaves no half.

Root writes into directories that belong to workloads. A workload may have put
a symbolic link there, so nothing here follows one in the last component: files
are written under a new random name and renamed over whatever stands there,
and read only if they are what they should be.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from paymesh.errors import SetupError
from paymesh.runtime.accounts import Account

SECRET_BYTES = 32


def ensure_directory(
    path: Path, mode: int, owner: Account | None = None, *, gid: int | None = None
) -> None:
    """Makes `path` a directory of exactly this mode and owner.

    One that belonged to somebody else, after a change of uids say, is handed
    over with everything in it.

    Args:
        path: its parent must exist.
        mode: permission bits, set-group-id included.
        owner: None leaves it to the caller's own uid.
        gid: group in place of the owner's own.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    uid = owner.uid if owner else os.geteuid()
    group = gid if gid is not None else owner.gid if owner else os.getegid()
    found = path.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is in the way: remove it")
    if owner is not None and found.st_uid != uid:
        _hand_over(path, owner)
    if (found.st_uid, found.st_gid) != (uid, group):
        os.chown(path, uid, group, follow_symlinks=False)
    if stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) != mode:
        path.chmod(mode)


def write_file(path: Path, data: bytes | str, mode: int, owner: Account | None = None) -> None:
    """Replaces `path` atomically by a file of exactly this mode and owner.

    A file that is already right is left alone, so that its time means something.

    Raises:
        SetupError: a directory stands there.
    """
    content = data.encode() if isinstance(data, str) else data
    uid, gid = (owner.uid, owner.gid) if owner else (os.geteuid(), os.getegid())
    if _is_right(path, content, mode, uid, gid):
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, IsADirectoryError):
            raise SetupError(f"{path} is a directory, where a file has to be: remove it") from error
        raise


class IrregularFileError(OSError):
    """A link, a pipe, a device or a directory stands where a file should."""


def open_regular(path: Path) -> int:
    """A descriptor for reading a file that somebody else may have put there.

    No link is followed, and nothing waits for the other end of a pipe.

    Raises:
        IrregularFileError: it is no file, or a link to one.
        OSError: there is none, or it may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:  # a link, a socket
            raise _irregular(path) from None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _irregular(path)


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of such a file.

    Raises:
        IrregularFileError: it is no file, a link to one, or longer than `max_bytes`.
        OSError: there is none, or it may not be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise IrregularFileError(errno.EFBIG, "is far too large", str(path))
    return content


def _irregular(path: Path) -> IrregularFileError:
    return IrregularFileError(errno.EINVAL, "is no regular file", str(path))


def ensure_secret(path: Path) -> str:
    """The random text in `path`, made at the first call: URL-safe, 256 bits, mode 0600."""
    with contextlib.suppress(FileNotFoundError):
        text = path.read_text("ascii").strip()
        if text:
            return text
    text = secrets.token_urlsafe(SECRET_BYTES)
    write_file(path, text + "\n", 0o600)
    return text


def _is_right(path: Path, content: bytes, mode: int, uid: int, gid: int) -> bool:
    try:
        descriptor = open_regular(path)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        return (
            stat.S_IMODE(found.st_mode) == mode
            and (found.st_uid, found.st_gid) == (uid, gid)
            and found.st_nlink == 1
            and found.st_size == len(content)
            and file.read() == content
        )


def _hand_over(directory: Path, owner: Account) -> None:
    for root, directories, files in os.walk(directory, followlinks=False):
        for name in (*directories, *files):
            os.chown(Path(root, name), owner.uid, owner.gid, follow_symlinks=False)
