"""Can everybody sign in who is to, and nobody else?"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dicom_sr.words import counted
from node.config import Configuration
from node.config.check_result import CheckResult
from node.config.checks import only_this_machine
from node.database.connection import driver_problem, opened_to_look
from node.database.tables import UserRow


def ways_to_sign_in(configuration: Configuration) -> Iterator[CheckResult]:
    """May somebody see the page who may reach it, and does everybody else have to sign in?"""
    status = configuration.status
    users = number_of_users(configuration)
    ways = [
        *([counted(users, "user")] if users else []),
        *(["OpenID Connect"] if status.openid is not None else []),
        *(["status.token_file, for viewers"] if status.token is not None or status.token_file is not None else []),
        *(["client certificates"] if status.tls is not None and status.tls.trusted is not None else []),
    ]
    if ways:
        yield CheckResult("status", "good", f"one signs in by: {', '.join(ways)}")
    elif only_this_machine(status.host):
        yield CheckResult("status", "good", "whoever is at this machine is administrator, without signing in")
    elif users is not None:
        sentence = (
            f"{status.host}: other machines reach the page, and nobody could sign in; should be 127.0.0.1, or have a "
            "way to sign in: condyle user add NAME --role administrator, status.openid or status.token_file"
        )
        yield CheckResult("status.host", "bad", sentence)


def number_of_users(configuration: Configuration) -> int | None:
    """How many may sign in with a password; None where the database does not say."""
    node = configuration.node
    if node.database is None and not (node.data / "node.db").exists():
        return 0
    database = opened_to_look(node.database_url)
    try:
        if driver_problem(database.url) is not None:
            return None
        if not inspect(database).has_table(UserRow.__tablename__):
            return 0
        with Session(database) as session:
            return session.scalar(select(func.count()).where(UserRow.disabled.is_(None)))
    except SQLAlchemyError:  # the check of the database says why
        return None
    finally:
        database.dispose()


def sign_in_settings(configuration: Configuration) -> Iterator[CheckResult]:
    """Is it safe how one signs in?"""
    status = configuration.status
    people = status.openid is not None or bool(number_of_users(configuration))
    secure = status.tls is not None or (status.url or "").startswith("https:")
    if people and not secure and not only_this_machine(status.host):
        sentence = (
            f"{status.host}: passwords and sessions cross the network in clear; should have status.tls beside it, or a "
            "proxy with TLS before it, whose address is status.url"
        )
        yield CheckResult("status.host", "doubtful", sentence)
    if status.open_loopback and people:
        sentence = "true: whoever has an account of this machine is administrator of the node, without signing in"
        yield CheckResult("status.open_loopback", "doubtful", sentence)
    if status.certificate_role != "viewer":
        if status.tls is None or status.tls.trusted is None:
            sentence = f"{status.certificate_role}: nobody shows a certificate without status.tls.trusted"
        else:
            sentence = f"{status.certificate_role}: every holder of a certificate of status.tls.trusted has this role"
        yield CheckResult("status.certificate_role", "doubtful", sentence)
