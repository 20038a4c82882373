"""Messages by e-mail (SMTP, RFC 5321), over TLS unless the site says otherwise."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from node.config.secret_files import read_secret
from node.errors import ConfigurationError, PeerUnavailable
from node.network.tls import server_trust

LONGEST_IN_SILENCES = 4  # a server that says a word now and then has no longer than so many timeouts for a message
LONGEST_SUBJECT = 120
OK, FORWARDED = 250, 251


class MailServer(Protocol):
    """What a section of the configuration says of a mail server, and of those who get its mail."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def security(self) -> str:
        """``starttls``, ``tls`` or ``none``."""

    @property
    def trusted(self) -> Path | None:
        """Authorities of its certificate; None: the system's."""

    @property
    def username(self) -> str | None:
        """The account; None where the server wants none."""

    @property
    def password_file(self) -> Path | None:
        """The file of its password."""

    @property
    def sender(self) -> str:
        """From whom the mail is."""

    @property
    def recipients(self) -> Sequence[str]:
        """Who gets it."""

    @property
    def timeout_s(self) -> float:
        """How long the server may say nothing."""


class Mailed(Enum):
    """What a server's answer means for the message."""

    TAKEN = auto()
    LATER = auto()  # not at the moment
    REFUSED = auto()  # asking again will not help
    UNCLEAR = auto()  # it was handed in, and the server did not say what became of it


@dataclass(frozen=True)
class MailAnswer:
    """What the server answered, and in which words."""

    outcome: Mailed
    text: str


class SmtpClient:
    """Sends messages by one server, to all recipients of its section; for one thread at a time.

    Parameters
    ----------
    name
        Of the server; messages begin with it.
    key
        Of its section in the configuration.
    server
        That section.
    """

    def __init__(self, name: str, key: str, server: MailServer) -> None:
        self._name, self._key, self._server = name, key, server
        self._smtp: smtplib.SMTP | None = None

    def ping(self) -> str:
        """Connect and sign in; nothing is sent.

        Raises
        ------
        PeerUnavailable
            If that cannot be done.
        """
        with self._in_time():
            self._open()
        return "answers, and knows the account" if self._server.username else "answers"

    def send(self, message: EmailMessage) -> MailAnswer:
        """Offer the message; it goes out only where no recipient is to be tried later, so that none gets it twice.

        Raises
        ------
        PeerUnavailable
            If the server cannot be reached, or refuses the account.
        """
        with self._in_time():
            return self._exchange(self._open(), message.as_bytes())

    def close(self) -> None:
        """End the connection, if there is one."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    def _exchange(self, smtp: smtplib.SMTP, message: bytes) -> MailAnswer:
        handed_in = False
        try:
            smtp.rset()
            code, _ = smtp.mail(self._server.sender)
            if code != OK:
                return _refusal(code, "the sender")
            answers = {to: smtp.rcpt(to)[0] for to in self._server.recipients}
            refused = [code for code in answers.values() if code not in (OK, FORWARDED)]
            if later := [code for code in refused if code < 500]:
                return _refusal(later[0], "a recipient")
            if len(refused) == len(answers):
                return _refusal(refused[0], "every recipient")
            handed_in = True
            code, _ = smtp.data(message)
        except smtplib.SMTPDataError as error:  # the server does not want to see it
            return _refusal(error.smtp_code, "the message")
        except (smtplib.SMTPException, OSError) as error:
            self._forget()
            if handed_in:
                return MailAnswer(Mailed.UNCLEAR, f"no answer to the message: {type(error).__name__}")
            raise PeerUnavailable(f"{self._name}: {_reason(error)}") from error
        if code != OK:
            return _refusal(code, "the message")
        left_out = f"; {len(refused)} of {len(answers)} recipients refused ({refused[0]})" if refused else ""
        return MailAnswer(Mailed.TAKEN, f"SMTP {code}{left_out}")

    # ---- the connection
    def _open(self) -> smtplib.SMTP:
        if self._smtp is None:
            try:
                self._smtp = self._connected()
            except (smtplib.SMTPException, OSError, ValueError) as error:  # ValueError: no TLS, or a name that is none
                self._forget()
                raise PeerUnavailable(f"{self._name}: {_reason(error)}") from error
            except ConfigurationError as error:  # a password that is not there yet
                self._forget()
                raise PeerUnavailable(str(error)) from error
        return self._smtp

    def _connected(self) -> smtplib.SMTP:
        to = self._server
        context = None if to.security == "none" else server_trust(to.trusted)
        own_name = socket.gethostname()
        if to.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(to.host, to.port, own_name, timeout=to.timeout_s, context=context)
        else:
            smtp = smtplib.SMTP(to.host, to.port, own_name, timeout=to.timeout_s)
        self._smtp = smtp
        smtp.ehlo_or_helo_if_needed()
        if to.security == "starttls":
            smtp.starttls(context=context)
            smtp.ehlo()
        if to.username is not None and to.password_file is not None:
            smtp.login(to.username, read_secret(f"{self._key}.password_file", to.password_file))
        return smtp

    def _forget(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    def _in_time(self) -> _Watch:
        """Within it, a server that is slow without end is left."""
        return _Watch(lambda: self._smtp, LONGEST_IN_SILENCES * self._server.timeout_s)


class _Watch:
    """Cuts a connection that takes too long in all; each answer has a time of its own."""

    def __init__(self, connection: Callable[[], smtplib.SMTP | None], seconds: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        smtp = self._connection()
        if smtp is not None and smtp.sock is not None:
            with suppress(OSError):  # closed already
                socket.socket.shutdown(smtp.sock, socket.SHUT_RDWR)


def plain_mail(server: MailServer, subject: str, lines: Sequence[str], uid: str, date: str) -> EmailMessage:
    """A message of plain text.

    Parameters
    ----------
    server
        Says from whom it is, and to whom.
    subject
        Without line ends; what is too long of it is cut.
    lines
        Of the text.
    uid
        The message has the same id however often it is sent.
    date
        As RFC 5322 has it.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = subject[:LONGEST_SUBJECT]
    message["From"], message["To"] = server.sender, ", ".join(server.recipients)
    message["Date"], message["Message-ID"] = date, f"<{uid}@condyle.invalid>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of an absent reader
    message.set_content("\n".join(lines) + "\n")
    return message


def _refusal(code: int, what: str) -> MailAnswer:
    """What a code of the server says about the message (RFC 5321 4.2.1); its own words may quote what it was sent."""
    if 400 <= code < 500:
        return MailAnswer(Mailed.LATER, f"SMTP {code}: {what} refused for now")
    return MailAnswer(Mailed.REFUSED, f"SMTP {code}: {what} refused")


def _reason(error: Exception) -> str:
    """Why the server cannot be used, without its own words."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"SMTP {error.smtp_code}: user name or password refused"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"SMTP {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "offers no TLS, or no sign-in that is known"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
