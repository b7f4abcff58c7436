"""Keys: which one seals, which ones open."""

from __future__ import annotations

import pytest

from tocsin.store.vault import Vault, WrongKeys, new_secret_key

OLD, NEW = new_secret_key(), new_secret_key()


def test_a_new_database_is_sealed_by_the_first_key():
    vault = Vault([NEW, OLD])
    assert Vault([NEW]).open(vault.seal("x")) == "x"
    assert Vault([NEW]).follow(vault.check()) == 0


def test_a_database_that_is_at_the_old_key_is_sealed_by_it_until_it_is_moved():
    """A server with the new key writes what one without it can read."""
    vault = Vault([NEW, OLD])
    assert vault.follow(Vault([OLD]).check()) == 1
    assert Vault([OLD]).open(vault.seal("x")) == "x"
    assert Vault([OLD]).has_signed("p", "t", vault.sign("p", "t"))
    vault.follow(vault.with_first().check())
    assert vault.place_of(vault.seal("x")) == 0


def test_whatever_any_key_sealed_or_signed_holds():
    both = Vault([NEW, OLD])
    for key in (NEW, OLD):
        assert both.open(Vault([key]).seal("x")) == "x"
        assert both.has_signed("p", "t", Vault([key]).sign("p", "t"))


def test_other_keys_are_refused():
    with pytest.raises(WrongKeys):
        Vault([NEW]).follow(Vault([OLD]).check())
    with pytest.raises(WrongKeys):
        Vault([NEW]).follow(Vault([NEW]).seal("something else"))
    assert Vault([NEW]).place_of(Vault([OLD]).seal("x")) is None
    assert Vault([NEW]).place_of("") is None


def test_a_key_has_a_name_that_is_no_part_of_it():
    (name,) = Vault([NEW]).names
    assert name == Vault([NEW, OLD]).names[0] != Vault([OLD]).names[0]
    assert name not in NEW
