"""The AWS SDK without packaging it: what `lambd runtimes add python-sdk` and its like install, and what goes before it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import packages
from harness.clients import boto
from harness.daemon import Daemon, environment, program
from harness.functions import Functions, node_runtime, python_runtime, ruby_version

SDK_OF_PYTHON = """import boto3, sys

def handler(event, context):
    names = [f["FunctionName"] for f in boto3.client("lambda").list_functions()["Functions"]]
    return {"names": names, "from": boto3.__file__, "last": sys.path[-1], "arguments": sys.argv[1:]}
"""
SDK_OF_NODE = """const { LambdaClient, ListFunctionsCommand } = require('@aws-sdk/client-lambda');
exports.handler = async () => {
  const { Functions } = await new LambdaClient({}).send(new ListFunctionsCommand({}));
  return { names: Functions.map((f) => f.FunctionName), from: require.resolve('@aws-sdk/client-lambda') };
};
"""
SDK_OF_ESM = """import { LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
export const handler = async () => {
  const { Functions } = await new LambdaClient({}).send(new ListFunctionsCommand({}));
  return { names: Functions.map((f) => f.FunctionName) };
};
"""
SDK_OF_RUBY = """require 'aws-sdk-core'
def handler(event:, context:)
  { version: Aws::CORE_GEM_VERSION, from: $LOADED_FEATURES.grep(/aws-sdk-core\\.rb/).first }
end
"""


def sdk(name: str) -> str:
    """The folder of an SDK that was got by its package manager."""
    folder = os.environ.get("LAMBD_SDKS")
    if not folder:
        raise RuntimeError("LAMBD_SDKS must name a folder; `cargo xtask test` makes it")
    return str(Path(folder) / name)


def run(data: Path, *args, path=None) -> subprocess.CompletedProcess:
    """`lambd runtimes` on a data directory, perhaps with other programs first on the path."""
    env = environment()
    if path:
        env["PATH"] = f"{path}:{env['PATH']}"
    command = [program(), "runtimes", *args, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def add(data: Path, *args, path=None) -> str:
    done = run(data, "add", *args, path=path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def gems(folder: Path, version: str) -> Path:
    """A directory of gems that has something in the place of the SDK's core."""
    home = folder / f"gems-{version}"
    name = f"aws-sdk-core-{version}"
    library = home / "gems" / name / "lib"
    library.mkdir(parents=True)
    (library / "aws-sdk-core.rb").write_text(f"module Aws; CORE_GEM_VERSION = '{version}'; end\n")
    (home / "specifications").mkdir()
    (home / "specifications" / f"{name}.gemspec").write_text(
        "Gem::Specification.new do |s|\n"
        f"  s.name = 'aws-sdk-core'\n  s.version = '{version}'\n  s.summary = 'x'\n  s.authors = ['x']\n"
        "  s.require_paths = ['lib']\n  s.files = ['lib/aws-sdk-core.rb']\n"
        "  s.required_ruby_version = Gem::Requirement.new('>= 2.7')\nend\n"
    )
    return home


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A data directory with an SDK of each language."""
    folder = tmp_path_factory.mktemp("sdks")
    data = folder / "data"
    assert add(data, "python-sdk", "--from", sdk("python")).startswith("python-sdk 1.43.11 is installed: python-sdk-1.43.11\n")
    assert "nodejs-sdk-3.1164.0" in add(data, "nodejs-sdk", "--from", sdk("node"))
    assert "ruby-sdk-3.200.0" in add(data, "ruby-sdk", "--from", str(gems(folder, "3.200.0")))
    old = folder / "old/aws-sdk"
    old.mkdir(parents=True)
    (old / "package.json").write_text('{"name": "aws-sdk", "version": "2.1693.0", "engines": {"node": ">= 10.0.0"}}')
    (old / "index.js").write_text("exports.VERSION = '2.1693.0';")
    assert "nodejs16.x-sdk-2.1693.0" in add(data, "nodejs16.x-sdk", "--from", str(old.parent))
    return data


@pytest.fixture(scope="module", params=["namespaces", "process"])
def level(request):
    return request.param


@pytest.fixture(scope="module")
def here(installed, level, tmp_path_factory):
    """Functions of a daemon on that directory."""
    network = "host" if level == "process" else "none"
    arguments = ["--isolation", level, "--network", network]
    if level == "process":
        arguments.append("--allow-host-network")
    daemon = Daemon(tmp_path_factory.mktemp("daemon"), data=installed, arguments=arguments).start()
    functions = Functions(boto(daemon.url, "lambda"))
    yield functions
    for function in functions.client.list_functions()["Functions"]:
        functions.client.delete_function(FunctionName=function["FunctionName"])
    assert daemon.stop() == 0, daemon.output()


def layer(functions, name: str, files: dict) -> str:
    content = {"ZipFile": packages.package(files)}
    return functions.client.publish_layer_version(LayerName=name, Content=content)["LayerVersionArn"]


def test_boto3(here, level):
    """RT-21: `import boto3` without packaging it; it calls the Lambda that it runs in."""
    here.python("boto", SDK_OF_PYTHON, Timeout=30)
    answer = here.invoke("boto").good()
    assert "boto" in answer["names"] and answer["arguments"] == []
    if level == "namespaces":
        assert answer["from"] == "/var/runtime/python/boto3/__init__.py"
        assert answer["last"] == "/var/runtime/python"


def test_packaged_and_layered_copies_go_before_boto3(here):
    """The package's own first, then that of a layer."""
    source = "import boto3\n\ndef handler(event, context):\n    return boto3.MINE\n"
    mine = layer(here, "python-mine", {"python/boto3/__init__.py": "MINE = 'layer'"})
    here.python("layered", source, Layers=[mine])
    assert here.invoke("layered").good() == "layer"
    code = packages.package({"app.py": source, "boto3/__init__.py": "MINE = 'package'"})
    here.create("packaged", code, python_runtime(), Layers=[mine])
    assert here.invoke("packaged").good() == "package"


def test_the_sdk_for_javascript(here, level):
    """RT-21: version 3 for CommonJS and for ES modules."""
    here.node("commonjs", SDK_OF_NODE, Timeout=30)
    answer = here.invoke("commonjs").good()
    assert "commonjs" in answer["names"]
    if level == "namespaces":
        assert answer["from"].startswith("/var/runtime/node_modules/@aws-sdk/client-lambda/")
    here.create("esm", packages.package({"index.mjs": SDK_OF_ESM}), node_runtime(), "index.handler", Timeout=30)
    assert "esm" in here.invoke("esm").good()["names"]


def test_packaged_and_layered_copies_go_before_the_sdk_for_javascript(here):
    """The package's own first, then that of a layer; for `require` and for `import`."""
    name = "node_modules/@aws-sdk/client-lambda"
    mine = layer(
        here,
        "node-mine",
        {
            f"nodejs/{name}/package.json": '{"name": "@aws-sdk/client-lambda", "main": "index.js"}',
            f"nodejs/{name}/index.js": "exports.MINE = 'layer';",
            "nodejs/node_modules/only-in-the-layer/index.mjs": "export default 'there';",
            "nodejs/node_modules/only-in-the-layer/package.json": '{"exports": "./index.mjs"}',
        },
    )
    source = "exports.handler = async () => require('@aws-sdk/client-lambda').MINE;"
    here.node("layered-node", source, Layers=[mine])
    assert here.invoke("layered-node").good() == "layer"
    module = (
        "import sdk from '@aws-sdk/client-lambda';\nimport only from 'only-in-the-layer';\n"
        "export const handler = async () => [sdk.MINE, only, await import('gone').catch((e) => e.code)];"
    )
    here.create("layered-esm", packages.package({"index.mjs": module}), node_runtime(), "index.handler", Layers=[mine])
    assert here.invoke("layered-esm").good() == ["layer", "there", "ERR_MODULE_NOT_FOUND"]
    code = packages.package({"index.js": source, f"{name}/index.js": "exports.MINE = 'package';"})
    here.create("packaged-node", code, node_runtime(), "index.handler", Layers=[mine])
    assert here.invoke("packaged-node").good() == "package"


def test_an_sdk_for_one_runtime_goes_before_that_for_all(here):
    """Version 2 for functions that were made for a Node.js before 18, whatever runs them."""
    source = "exports.handler = async () => require('aws-sdk').VERSION;"
    here.create("old-node", packages.package({"index.js": source}), "nodejs16.x", "index.handler")
    assert here.invoke("old-node").good() == "2.1693.0"


def test_the_sdk_for_ruby(here, tmp_path):
    """Gems: of several versions RubyGems takes the newest, wherever it is; the package's by Bundler's place."""
    here.ruby("gem", SDK_OF_RUBY)
    assert here.invoke("gem").good()["version"] == "3.200.0"
    newer = gems(tmp_path, "3.300.0")
    place = f"vendor/bundle/ruby/{ruby_version()}.0"
    files = {f"{place}/{f.relative_to(newer)}": f.read_text() for f in newer.rglob("*") if f.is_file()}
    here.ruby("gem-packaged", SDK_OF_RUBY, files=files)
    assert here.invoke("gem-packaged").good()["version"] == "3.300.0"


def test_what_package_managers_are_asked(tmp_path):
    """pip, npm and gem are called as people call them; what they say goes to the user."""
    data, path = tmp_path / "data", tmp_path / "bin"
    path.mkdir()
    calls = tmp_path / "calls"

    def tool(name: str, script: str):
        (path / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {calls}\nlast() {{ echo "${{@: -1}}"; }}\n{script}\n')
        (path / name).chmod(0o755)

    def called() -> str:
        text = calls.read_text()
        calls.unlink()
        return text

    into = 'while [ $# -gt 0 ]; do case "$1" in --target|--prefix|--install-dir) into="$2";; esac; shift; done'
    tool(
        "python3",
        f'{into}\nmkdir -p "$into/boto3" "$into/boto3-1.37.1.dist-info"\n'
        'printf "Version: 1.37.1\\nRequires-Python: >= 3.8\\n" > "$into/boto3-1.37.1.dist-info/METADATA"',
    )
    out = add(data, "python3.8-sdk", "--pypi-index", "http://mirror/simple", path=path)
    assert out.startswith("python3.8-sdk 1.37.1 is installed: python3.8-sdk-1.37.1\n  from      by pip: boto3\n"), out
    asked = called()
    assert "-m pip install" in asked and "--python-version 3.8 --index-url http://mirror/simple" in asked
    manifest = json.loads((data / "toolchains/python3.8-sdk-1.37.1/toolchain.json").read_text())
    assert (manifest["kind"], manifest["directory"], manifest["since"]) == ("sdk", "python", [3, 8])
    again = add(data, "python3.8-sdk", "--pypi-index", "http://mirror/simple", path=path)
    assert again.startswith("python3.8-sdk 1.37.1 is already installed"), again
    called()

    versions = '[{"version":"3.900.0","engines.node":">=18.0.0"},{"version":"3.1001.0","engines.node":">=20.0.0"}]'
    tool(
        "npm",
        f"if [ \"$1\" = view ]; then echo '{versions}'; exit; fi\n{into}\n"
        'mkdir -p "$into/node_modules/@aws-sdk/client-lambda"\n'
        'echo \'{"version": "3.900.0", "engines": {"node": ">=18.0.0"}}\' '
        '> "$into/node_modules/@aws-sdk/client-lambda/package.json"',
    )
    assert "nodejs18.x-sdk-3.900.0" in add(data, "nodejs18.x-sdk", path=path)
    asked = called()
    assert "npm view @aws-sdk/client-lambda@3" in asked and "@aws-sdk/client-s3@3.0.0 - 3.900.0" in asked
    add(data, "nodejs22.x-sdk", "--packages", "@aws-sdk/client-s3,@aws-sdk/client-lambda", path=path)
    assert called().endswith(" @aws-sdk/client-s3 @aws-sdk/client-lambda\n")

    tool("gem", "echo \"ERROR:  Could not find a valid gem 'aws-sdk-core'\" >&2; exit 2")
    refused = run(data, "add", "ruby-sdk", path=path)
    assert refused.returncode == 2 and "gem cannot get the packages: ERROR:  Could not find" in refused.stderr
    assert "\ntry: " in refused.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    none = run(data, "add", "ruby-sdk", "--from", str(empty))
    assert none.returncode == 2 and "there is no AWS SDK for Ruby in it" in none.stderr
    listed = json.loads(run(data, "-o", "json").stdout)
    assert {"python3.8": "python3.8-sdk-1.37.1"}.items() <= {r["id"]: r["sdk"] for r in listed}.items()
    removed = run(data, "remove", "nodejs18.x-sdk")
    assert removed.stdout == "removed nodejs18.x-sdk-3.900.0\n"
