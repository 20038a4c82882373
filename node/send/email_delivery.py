"""Notifications by e-mail (SMTP, RFC 5321), over TLS unless the site says otherwise."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from dicom_sr.profile import ObjectFile
from node.config import EmailDestination
from node.config.secret_files import read_secret
from node.errors import ConfigurationError, PeerUnavailable
from node.network.tls import server_trust
from node.send.delivery import Answer, Outcome
from node.send.email_text import email
from node.send.notification_file import NOT_ONE, read_notification
from node.send.one_by_one import OneByOne

LONGEST_IN_SILENCES = 4  # a server that says a word now and then has no longer than so many timeouts for a message
OK, FORWARDED = 250, 251


class EmailDelivery(OneByOne):
    """Sends each notification as one message to all recipients. Its Message-ID is the same however often it is sent.

    Parameters
    ----------
    name
        Of the destination; messages begin with it.
    destination
        Its section of the configuration.
    key_file
        Opens notifications that are sealed.
    clock
        Now, timezone aware, for the message's date.
    """

    def __init__(
        self,
        name: str,
        destination: EmailDestination,
        key_file: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(name, key_file)
        self._destination, self._clock = destination, clock
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
        return "answers, and knows the account" if self._destination.username else "answers"

    def close(self) -> None:
        """End the connection, if there is one."""
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()
            smtp.close()

    # ---- one message
    def _send(self, item: ObjectFile) -> Answer:
        told = None if item.sop_class_uid else read_notification(self._content(item))
        if told is None:
            return Answer(Outcome.REFUSED, NOT_ONE)
        message = email(told, item.sop_instance_uid, self._destination, format_datetime(self._clock()))
        with self._in_time():
            return self._exchange(self._open(), message.as_bytes())

    def _exchange(self, smtp: smtplib.SMTP, message: bytes) -> Answer:
        """Offer the message; it goes out only where no recipient is to be tried later, so that none gets it twice."""
        handed_in = False
        try:
            smtp.rset()
            code, _ = smtp.mail(self._destination.sender)
            if code != OK:
                return _refusal(code, "the sender")
            answers = {to: smtp.rcpt(to)[0] for to in self._destination.recipients}
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
                return Answer(Outcome.UNCLEAR, f"no answer to the message: {type(error).__name__}")
            raise PeerUnavailable(f"{self._name}: {_reason(error)}") from error
        if code != OK:
            return _refusal(code, "the message")
        left_out = f"; {len(refused)} of {len(answers)} recipients refused ({refused[0]})" if refused else ""
        return Answer(Outcome.DELIVERED, f"SMTP {code}{left_out}")

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
        to = self._destination
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
            smtp.login(to.username, read_secret(f"destinations.{self._name}.password_file", to.password_file))
        return smtp

    def _forget(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is not None:
            smtp.close()

    def _in_time(self) -> _Watch:
        """Within it, a server that is slow without end is left."""
        return _Watch(lambda: self._smtp, LONGEST_IN_SILENCES * self._destination.timeout_s)


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


def _refusal(code: int, what: str) -> Answer:
    """What a code of the server says about the message (RFC 5321 4.2.1); its own words may quote what it was sent."""
    if 400 <= code < 500:
        return Answer(Outcome.LATER, f"SMTP {code}: {what} refused for now")
    return Answer(Outcome.REFUSED, f"SMTP {code}: {what} refused")


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
