"""What a command says of an error: one line."""

FULL_ERROR = "HYDRA_FULL_ERROR"  # environment variable; at 1 tracebacks are shown


def in_one_line(error: Exception) -> str:
    """The error's message, with its type where the message alone says nothing (a bare key)."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"  # without the system's number
    text = " ".join(str(error).split())
    return text if " " in text else f"{type(error).__name__}: {text}"


def not_installed(error: Exception, extra: str) -> str | None:
    """How to install the package that is missing; None if the error is another one.

    Args:
      extra: the extra of this package that brings it.
    """
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        package = error.name.partition(".")[0]
        return f'{package} is not installed: pip install "bark-jax[{extra}]"'
    return None
