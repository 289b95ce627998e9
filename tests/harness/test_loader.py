"""Plugins enter by entry points; a broken one is listed and takes nothing down."""

from __future__ import annotations

import pytest

from baft import PluginError, UsageError
from baft.loader import load_plugins, tell

BACKEND = """
import baft
@baft.hookimpl
def baft_register_backends(register):
    from baft.testing import FakeBackend
    register("{scheme}", lambda target, context: FakeBackend(spec="made:" + target))
"""


def info(plugins, name):
    return next(i for i in plugins.infos if i.name == name)


def test_a_strangers_plugin_is_loaded_and_listed(install):
    install("stranger", BACKEND.format(scheme="strange"))
    plugins = load_plugins()
    found = info(plugins, "stranger")
    assert (found.distribution, found.offers, found.problem) == (
        "stranger 1.2",
        ("backends:strange",),
        "",
    )
    assert plugins.open("strange:thing", plugins.context()).spec == "made:thing"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def x(:", "SyntaxError"),
        ("import baft\n@baft.hookimpl\ndef baft_registr_backends(register): ...", "unknown hook"),
        (
            "import baft\n@baft.hookimpl\ndef baft_register_backends(register, wrong): ...",
            "wrong",
        ),
        (
            "import baft\n@baft.hookimpl\ndef baft_register_backends(register):\n    1 / 0",
            "baft_register_backends failed: ZeroDivisionError: division by zero",
        ),
        (
            "import baft\n@baft.hookimpl\ndef baft_register_backends(register):\n"
            "    register('a', len)\n    raise SystemExit",
            "baft_register_backends failed: SystemExit",
        ),
        (
            "import baft\n@baft.hookimpl\ndef baft_register_roles(register):\n"
            "    register('ba', len)\n    raise OSError('no')",
            "baft_register_roles failed: OSError: no",
        ),
        (
            "import baft\n@baft.hookimpl\ndef baft_register_backends(register):\n"
            "    register('a', len)\n    register('a', len)",
            "offers the backend 'a' twice",
        ),
        (
            "import baft\n@baft.hookimpl\n"
            "def baft_register_backends(register):\n    register(3, 4)",
            "needs a name and a factory",
        ),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_offers_nothing(install, source, said):
    install("broken", source)
    plugins = load_plugins()
    found = info(plugins, "broken")
    assert said in found.problem
    assert found.offers == ()
    assert "a" not in plugins.names("backends")
    assert "replay" in plugins.names("backends")
    assert not plugins.clashes


def test_using_what_a_broken_plugin_would_offer_names_the_reason(install):
    install("broken", "import not_there")
    with pytest.raises(PluginError, match="not_there"):
        load_plugins().offer("roles", "broken")


def test_an_unknown_name_mentions_the_plugins_that_are_not_in_use(install):
    install("stranger", "import not_there")
    with pytest.raises(UsageError, match="Not in use: stranger; see `baft plugins`"):
        load_plugins().role("strange")


def test_what_an_installer_left_behind_takes_nothing_down(install, tmp_path):
    (tmp_path / "torn-1.0.dist-info").mkdir()
    (tmp_path / "torn-1.0.dist-info" / "entry_points.txt").write_text("[baft]\ntorn = torn\n")
    (tmp_path / "odd-1.0.dist-info").mkdir()
    (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").write_text("[baft\nwhat\n= =\n")
    names = [i.name for i in load_plugins().infos if not i.problem]
    assert "replay" in names


def test_what_is_experimental_is_listed_as_such(install):
    install(
        "young",
        "import baft\n@baft.hookimpl\ndef baft_register_roles(register):\n"
        "    register('old', dict)\n    register('new', dict, experimental=True)",
    )
    found = info(load_plugins(), "young")
    assert (found.offers, found.experimental) == (("roles:old", "roles:new"), ("roles:new",))


def test_printing_at_import_does_not_reach_stdout(install, capsys):
    install("loud", "print('hello')\n" + BACKEND.format(scheme="loud"))
    load_plugins()
    assert capsys.readouterr().out == ""


def test_two_plugins_offering_one_name_is_an_error_that_names_both(install):
    install("first", BACKEND.format(scheme="same"))
    install("second", BACKEND.format(scheme="same"))
    plugins = load_plugins()
    with pytest.raises(PluginError, match=r"'first' and 'second' both offer backend 'same'"):
        plugins.open("same:x", plugins.context())


def test_blocking_one_of_two_resolves_the_clash(install):
    install("first", BACKEND.format(scheme="same"))
    install("second", BACKEND.format(scheme="same"))
    plugins = load_plugins(blocked=["first"])
    assert plugins.open("same:x", plugins.context()).spec == "made:x"
    assert info(plugins, "first").problem == "blocked by --no-plugin"


def test_two_distributions_with_one_entry_name_are_both_named(install):
    install("first", BACKEND.format(scheme="a"), entry="same")
    install("second", BACKEND.format(scheme="b"), entry="same")
    assert "first 1.2 and second 1.2" in info(load_plugins(), "same").problem


def test_an_unknown_name_suggests_the_nearest():
    plugins = load_plugins()
    with pytest.raises(UsageError, match="Did you mean 'ollama'"):
        plugins.open("olama:x", plugins.context())
    with pytest.raises(UsageError, match="Did you mean 'replay'"):
        load_plugins(blocked=["reply"])


def test_a_factory_that_raises_is_put_at_the_plugins_door(install):
    install(
        "bad",
        "import baft\n@baft.hookimpl\ndef baft_register_roles(register):\n"
        "    register('bad', lambda: 1 / 0)",
    )
    with pytest.raises(PluginError, match="Plugin 'bad' failed in its role 'bad'"):
        load_plugins().role("bad")


@pytest.mark.parametrize(
    ("kind", "factory", "said"),
    [
        ("backends", "lambda target, context: None", "of type NoneType, which lacks spec, batch"),
        ("roles", "dict", "made the role 'own' of type dict, which lacks name, task"),
        ("metrics", "lambda: 0.5", "of type float, which lacks name, version"),
        ("trainers", "object", "of type object, which lacks train"),
        ("gate_rules", "lambda: True", "the gate rule 'own' of type bool, which cannot be called"),
        ("backends", "lambda target: None", "failed in its backend 'own': TypeError"),
        (
            "metrics",
            "lambda: __import__('sys').exit(0)",
            "failed in its metric 'own': SystemExit: 0",
        ),
    ],
)
def test_a_factory_that_makes_something_else_is_named(install, kind, factory, said):
    install(
        "bad",
        f"import baft\n@baft.hookimpl\ndef baft_register_{kind}(register):\n"
        f"    register('own', {factory})",
    )
    arguments = ("x", None) if kind == "backends" else ()
    with pytest.raises(PluginError, match=said) as caught:
        load_plugins().make(kind, "own", *arguments)
    assert "Plugin 'bad'" in caught.value.message
    assert "--no-plugin bad" in caught.value.hint


def test_printing_in_a_factory_or_a_listener_does_not_reach_stdout(install, capsys):
    install(
        "loud",
        "import baft\ndef rule(): print('made')\ndef make():\n    print('making')\n"
        "    return rule\n@baft.hookimpl\n"
        "def baft_register_gate_rules(register): register('loud', make)\n"
        "@baft.hookimpl\ndef baft_decision_made(run, decision): print('told')\n",
    )
    plugins = load_plugins()
    plugins.make("gate_rules", "loud")
    tell(plugins, "baft_decision_made", print, run=None, decision=None)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "making\ntold\n")


def test_a_missing_package_says_what_to_install(install):
    install(
        "needy",
        "import baft\ndef make():\n    import not_there\n@baft.hookimpl\n"
        "def baft_register_roles(register):\n    register('needy', make)",
    )
    with pytest.raises(PluginError, match=r"not_there.*pip install not_there") as caught:
        load_plugins().role("needy")
    assert "baft doctor" in caught.value.hint


@pytest.mark.parametrize(
    ("does", "said"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("raise SystemExit(0)", "SystemExit: 0")],
)
def test_an_exception_in_a_listener_is_reported_and_changes_nothing(install, does, said):
    install(
        "listener",
        f"import baft\n@baft.hookimpl\ndef baft_decision_made(run, decision):\n    {does}",
    )
    heard = []
    tell(load_plugins(), "baft_decision_made", heard.append, run=None, decision=None)
    assert heard == [f"Plugin 'listener' failed in baft_decision_made: {said}."]


def test_a_bare_path_is_recognised_by_what_lies_in_it(tmp_path):
    file = tmp_path / "outputs.jsonl"
    file.write_text('{"id": "1", "output": "x"}\n')
    assert load_plugins().resolve(str(file)) == ("replay", str(file))


def test_a_path_that_is_nothing_says_what_was_found_and_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"found: notes.txt\. Looked for adapter_config.json"):
        load_plugins().resolve(str(tmp_path))


def test_a_path_that_is_two_things_names_both(tmp_path, install):
    install(
        "greedy",
        "import baft\n@baft.hookimpl\n"
        "def baft_recognise_path(path):\n    return f'replay:{path}'\n",
    )
    install(
        "other",
        BACKEND.format(scheme="other")
        + "@baft.hookimpl\ndef baft_recognise_path(path):\n    return f'other:{path}'\n",
    )
    with pytest.raises(UsageError, match=r"could be other:.* or replay:"):
        load_plugins().resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("return path", "is no spec SCHEME:MODEL"),
        ("return str(path)", "is no spec SCHEME:MODEL"),
        ("return 'nobody:x'", "'nobody:x' is no spec SCHEME:MODEL"),
        ("return False", "False is no spec SCHEME:MODEL"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_a_plugin_that_recognises_a_path_badly_is_named(tmp_path, install, does, said):
    install("eager", f"import baft\n@baft.hookimpl\ndef baft_recognise_path(path): {does}")
    (tmp_path / "model").mkdir()
    with pytest.raises(PluginError, match="'eager' failed in baft_recognise_path") as caught:
        load_plugins().resolve(str(tmp_path / "model"))
    assert said in caught.value.message
    assert "--no-plugin eager" in caught.value.hint


def test_neither_spec_nor_path_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="neither a spec nor a path"):
        load_plugins().resolve("nothing/here")
    (tmp_path / "pocket").mkdir()
    with pytest.raises(UsageError, match=r"Did you mean '.*/pocket'"):
        load_plugins().resolve(str(tmp_path / "pockt"))
    with pytest.raises(UsageError, match="names no model"):
        load_plugins().resolve("replay:")


def test_every_call_returns_a_fresh_manager():
    assert load_plugins().manager is not load_plugins().manager
