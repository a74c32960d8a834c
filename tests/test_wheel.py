"""The wheel: everything a machine without this checkout needs, nothing else, and light to import."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from epochscope import __version__

pytestmark = pytest.mark.slow  # builds the wheel

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "frontend" / "epochscope_web" / "static"
INFO = f"epochscope-{__version__}.dist-info"


def build(kind: str, source: Path, target: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"{INFO}/METADATA"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder, as an installation would leave it."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(*arguments: str, unpacked: Path) -> subprocess.CompletedProcess[str]:
    """Python in a folder of its own that sees the unpacked wheel before anything else."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_holds_the_three_packages_and_nothing_beside_them(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"epochscope", "epochscope_server", "epochscope_web", INFO}


def test_it_holds_no_workshop(names: set[str]) -> None:
    strays = ("node_modules", "__pycache__", ".pyc", "package.json", "tsconfig", ".test.js", "/tests/", "Dockerfile")
    assert [name for name in names if any(stray in name for stray in strays)] == []


def test_every_file_a_browser_may_ask_for_is_in_it(names: set[str]) -> None:
    on_disk = {
        f"epochscope_web/static/{path.relative_to(STATIC).as_posix()}" for path in STATIC.rglob("*") if path.is_file()
    }
    assert on_disk
    assert {name for name in names if name.startswith("epochscope_web/static/")} == on_disk


@pytest.mark.parametrize("package", ["epochscope", "epochscope_server", "epochscope_web"])
def test_each_package_says_that_it_is_typed(names: set[str], package: str) -> None:
    assert f"{package}/py.typed" in names


def test_the_real_subset_travels_with_its_licence(names: set[str]) -> None:
    subset = {name.split("/")[-1] for name in names if name.startswith("epochscope/fashion_mnist_subset/")}
    assert subset == {
        "LICENSE",
        "README.md",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    }


def test_the_migrations_travel(names: set[str]) -> None:
    prefix = "epochscope_server/store/migrations/"
    assert prefix + "env.py" in names
    assert [name for name in names if name.startswith(prefix + "versions/") and name.endswith(".py")]


def test_the_licences_are_named_and_enclosed(names: set[str], metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {f"{INFO}/licenses/{name}" for name in metadata.get_all("License-File", [])} <= names
    assert "client_callback/epochscope/fashion_mnist_subset/LICENSE" in metadata.get_all("License-File", [])


def test_the_bare_install_needs_numpy_and_msgspec_only(metadata: Message) -> None:
    bare = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert sorted(re.split(r"[<>=]", need)[0] for need in bare) == ["msgspec", "numpy"]


def test_no_extra_but_tensorflow_brings_tensorflow(metadata: Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist", []) if need.startswith(("tensorflow", "keras"))]
    assert len(needs) == 1
    assert needs[0].endswith("extra == 'tensorflow'")


def test_a_wheel_made_from_the_source_archive_is_the_same(names: set[str], tmp_path: Path) -> None:
    archive = build("sdist", ROOT, tmp_path / "sdist")
    (tmp_path / "source").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path / "source"], check=True)
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")) as again:
        assert set(again.namelist()) == names


def test_importing_epochscope_needs_nothing_but_the_standard_library(unpacked: Path) -> None:
    # Without -S, site-packages would be there to load from by mistake.
    code = "import epochscope, sys; print(epochscope.__version__, {'numpy', 'msgspec', 'keras'} & set(sys.modules))"
    done = python("-S", "-c", code, unpacked=unpacked)
    assert (done.stdout, done.stderr) == (f"{__version__} set()\n", "")


def test_the_training_side_loads_neither_keras_nor_the_service(unpacked: Path) -> None:
    code = (
        "import epochscope, sys; epochscope.Run; print(epochscope.__file__, "
        "[name for name in ('keras', 'tensorflow', 'fastapi', 'sqlalchemy', 'plotly') if name in sys.modules])"
    )
    done = python("-c", code, unpacked=unpacked)
    assert done.stdout == f"{unpacked / 'epochscope' / '__init__.py'} []\n", done.stderr


def test_the_service_loads_no_keras_and_no_plotly(unpacked: Path) -> None:
    code = (
        "import epochscope_server.app, sys; print(epochscope_server.app.__file__, "
        "[name for name in ('keras', 'tensorflow', 'jax', 'torch', 'plotly') if name in sys.modules])"
    )
    done = python("-c", code, unpacked=unpacked)
    assert done.stdout == f"{unpacked / 'epochscope_server' / 'app.py'} []\n", done.stderr


def test_the_command_without_the_service_says_what_to_install(unpacked: Path) -> None:
    code = "import sys; sys.modules['fastapi'] = None; from epochscope.__main__ import main; sys.exit(main(['serve']))"
    done = python("-c", code, unpacked=unpacked)
    assert done.returncode == 1
    assert "epochscope[server]" in done.stderr
    assert "Traceback" not in done.stderr
