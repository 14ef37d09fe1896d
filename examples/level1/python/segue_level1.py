# SPDX-License-Identifier: Apache-2.0
"""A client of Segue's level 1 protocol (protocol/level1.md). Standard library only.

A program makes a Client from the descriptor that SEGUE_LEVEL1_FD names, says hello(), and calls
dispatch() whenever the client's fileno() is readable. What it gets told are methods of the handler
that it passes: see Handler. One thread.
"""

import array
import fcntl
import os
import socket
import struct

PROTOCOL = 1
MAX_MESSAGE_BYTES = 64 << 10
MAX_FIELDS = 64

HELLO, WELCOME, STORE, CLOSE, FREEZE, STATE, FROZEN, ACTIVATE, SERVING, RESUME, END = range(1, 12)
LISTENER, CONNECTION, DESCRIPTOR, FENCE = range(1, 5)
RECLAIMED = 4  # RESUME: the successor served and is dead; what it did is not in this process

_HEADER = struct.Struct("<HHI")
_FIELD = struct.Struct("<HI")
_NUMBER = struct.Struct("<Q")


class ProtocolError(Exception):
    """The other side broke the protocol, or has gone."""


def number(value):
    return _NUMBER.pack(value)


def encode_fields(fields):
    """fields: (tag, bytes) in order."""
    return b"".join(_FIELD.pack(tag, len(value)) + value for tag, value in fields)


def encode(kind, fields=(), fd_count=0):
    body = encode_fields(fields)
    return _HEADER.pack(kind, fd_count, len(body)) + body


def decode_fields(body):
    fields, at = [], 0
    while at < len(body):
        if len(fields) == MAX_FIELDS or len(body) - at < _FIELD.size:
            raise ProtocolError("too many fields, or a field's header is cut short")
        tag, size = _FIELD.unpack_from(body, at)
        at += _FIELD.size
        if size > len(body) - at:
            raise ProtocolError(f"field {tag} claims {size} bytes, and {len(body) - at} are left")
        fields.append((tag, body[at:at + size]))
        at += size
    return fields


def decode(data):
    """(type, descriptors that it says come with it, fields)"""
    if len(data) < _HEADER.size:
        raise ProtocolError("a message without a header")
    kind, fd_count, size = _HEADER.unpack_from(data)
    if size != len(data) - _HEADER.size or fd_count > 1:
        raise ProtocolError(f"message {kind} is malformed")
    return kind, fd_count, decode_fields(data[_HEADER.size:])


def first(fields, tag, otherwise=b""):
    return next((value for have, value in fields if have == tag), otherwise)


def first_number(fields, tag, otherwise=0):
    value = first(fields, tag)
    return _NUMBER.unpack(value)[0] if len(value) == _NUMBER.size else otherwise


class Handler:
    """What a program is told. Descriptors that are passed belong to it."""

    def listener(self, name, fd):
        """A listening socket is there; fd None: it was closed. Do not accept before activate()."""

    def connection(self, id, name, record, fd):
        """A connection of the predecessor has come; fd None: its name or record has changed."""

    def connection_closed(self, id):
        """The predecessor closed it: forget it and close the descriptor."""

    def descriptor(self, name, fd):
        """A descriptor of the predecessor has come; None: it was taken back."""

    def freeze(self, versions):
        """Stop: from here to resume() touch nothing. Returns {form: its state as bytes}, each in
        the version that `versions` names. An exception: it cannot now, and goes on."""
        raise NotImplementedError

    def state(self, form, version, data):
        """The predecessor's state. Comes just before activate()."""

    def activate(self, is_first, epoch):
        """Serve. An exception: it cannot, and the predecessor goes on."""
        raise NotImplementedError

    def resume(self, reason):
        """Go on as before freeze()."""
        raise NotImplementedError

    def end(self, reason):
        """End the process soon, without a word to any client."""
        raise NotImplementedError


class Client:
    def __init__(self, handler, fd=None):
        fd = int(os.environ["SEGUE_LEVEL1_FD"]) if fd is None else fd
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        os.set_inheritable(fd, False)
        self._handler = handler
        self._fence = None  # held open until this process ends

    def fileno(self):
        return self._socket.fileno()

    # ---- What a program says

    def hello(self, service, version, forms=None, listeners=None):
        """forms: {name: (version, oldest that it reads and writes)}; listeners: {name: address}."""
        fields = [(1, number(PROTOCOL)), (2, number(PROTOCOL)), (3, service.encode()),
                  (4, version.encode())]
        for name, (newest, oldest) in (forms or {}).items():
            fields.append((5, encode_fields(
                [(1, name.encode()), (2, number(newest)), (3, number(oldest))])))
        for name, address in (listeners or {}).items():
            fields.append((6, encode_fields([(1, name.encode()), (2, address.encode())])))
        self._send(HELLO, fields)

    def store_connection(self, id, fd, name="", record=b""):
        """Registers it. The ids are the program's own and go on in the successor."""
        self._send(STORE, self._connection(id, name, record), fd)

    def change_record(self, id, name="", record=b""):
        self._send(STORE, self._connection(id, name, record))

    def close_connection(self, id, reset=False):
        """After the program has closed its own descriptor: the client sees it now."""
        self._send(CLOSE, [(1, number(CONNECTION)), (2, number(id)), (4, number(int(reset)))])

    def store_descriptor(self, name, fd):
        self._send(STORE, [(1, number(DESCRIPTOR)), (2, number(0)), (3, name.encode())], fd)

    def close_descriptor(self, name):
        self._send(CLOSE, [(1, number(DESCRIPTOR)), (3, name.encode())])

    def close_listener(self, name):
        self._send(CLOSE, [(1, number(LISTENER)), (3, name.encode())])

    # ---- What it is told

    def dispatch(self):
        """Handles one message; waits for it if none is there."""
        data, control, flags, _ = self._socket.recvmsg(
            MAX_MESSAGE_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
        if not data:
            raise ProtocolError("the other side has gone")
        kind, fd_count, fields = decode(data)
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) or fd_count != len(fds):
            for fd in fds:
                os.close(fd)
            raise ProtocolError(f"message {kind} did not arrive whole: is RLIMIT_NOFILE too low?")
        self._handle(kind, fields, fds[0] if fds else None)

    def _handle(self, kind, fields, fd):
        handler = self._handler
        if kind == STORE:
            self._on_store(fields, fd)
        elif kind == CLOSE:
            what = first_number(fields, 1)
            if what == CONNECTION:
                handler.connection_closed(first_number(fields, 2))
            elif what == LISTENER:
                handler.listener(first(fields, 3).decode(), None)
            elif what == DESCRIPTOR:
                handler.descriptor(first(fields, 3).decode(), None)
        elif kind == FREEZE:
            self._on_freeze(fields)
        elif kind == STATE:
            with os.fdopen(fd, "rb") as memory:
                data = os.pread(memory.fileno(), first_number(fields, 3), 0)
            handler.state(first(fields, 1).decode(), first_number(fields, 2), data)
        elif kind == ACTIVATE:
            try:
                handler.activate(first_number(fields, 1) == 1, first_number(fields, 2))
            except Exception as error:
                self._send(SERVING, [(1, repr(error).encode()[:1000])])
                raise
            self._send(SERVING)
        elif kind == RESUME:
            handler.resume(first_number(fields, 1))
        elif kind == END:
            handler.end(first_number(fields, 1))
        elif kind != WELCOME and fd is not None:
            os.close(fd)  # of a message that this client does not know

    def _on_store(self, fields, fd):
        kind, name = first_number(fields, 1), first(fields, 3).decode()
        if kind == LISTENER:
            self._handler.listener(name, fd)
        elif kind == CONNECTION:
            self._handler.connection(first_number(fields, 2), name, first(fields, 4), fd)
        elif kind == DESCRIPTOR:
            self._handler.descriptor(name, fd)
        elif kind == FENCE:
            if self._fence is not None:
                os.close(self._fence)
            self._fence = fd

    def _on_freeze(self, fields):
        versions = {}
        for tag, nested in fields:
            if tag == 3:
                form = decode_fields(nested)
                versions[first(form, 1).decode()] = first_number(form, 2)
        this = (1, number(first_number(fields, 1)))
        try:
            states = self._handler.freeze(versions)
        except Exception as error:
            self._send(FROZEN, [this, (2, repr(error).encode()[:1000])])
            return
        for form, data in states.items():
            self._send_state(form, versions[form], data, this[1])
        self._send(FROZEN, [this])

    def _send_state(self, form, version, data, freeze_number):
        fd = os.memfd_create(form, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, len(data))
            written = 0
            while written < len(data):
                written += os.pwrite(fd, data[written:], written)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS,
                        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
            self._send(STATE, [(1, form.encode()), (2, number(version)), (3, number(len(data))),
                               (4, freeze_number)], fd)
        finally:
            os.close(fd)

    @staticmethod
    def _connection(id, name, record):
        return [(1, number(CONNECTION)), (2, number(id)), (3, name.encode()), (4, record)]

    def _send(self, kind, fields=(), fd=None):
        rights = [] if fd is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self._socket.sendmsg([encode(kind, fields, len(rights))], rights)
