"""What a failing file system or bucket means: never again, or in a while."""

import errno

LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def lasts(error: Exception) -> bool:
    """Whether a failure is one of names and rights, which time does not change."""
    code = getattr(error, "code", None)  # of HTTP, in the errors of both clients
    if isinstance(code, int):
        return 400 <= code < 500 and code not in (408, 429)
    if isinstance(error, OSError) and (error.errno in LASTING or str(error).startswith("Forbidden")):
        return True  # gcsfs makes a plain OSError of a 403
    return isinstance(error, (FileNotFoundError, ValueError))
