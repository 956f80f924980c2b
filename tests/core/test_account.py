from __future__ import annotations

from perdured.core.account import SEARCH, Account, make_login_environment

ADA = Account(1001, 100, "ada", "/home/ada", "/bin/zsh")


def test_a_login_begins_with_the_users_own_values_and_nothing_of_whoever_starts_it() -> None:
    of_root = {"HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x", "LD_PRELOAD": "y", "PATH": "/sbin", "LANG": "C.UTF-8"}
    assert make_login_environment(ADA, of_root) == {
        "HOME": "/home/ada",
        "LANG": "C.UTF-8",
        "LOGNAME": "ada",
        "PATH": SEARCH,
        "SHELL": "/bin/zsh",
        "USER": "ada",
    }


def test_an_account_without_a_home_or_a_shell_has_those_that_login_gives() -> None:
    env = make_login_environment(ADA._replace(home="", shell=""), {})
    assert (env["HOME"], env["SHELL"]) == ("/", "/bin/sh")
