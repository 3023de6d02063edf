"""Run cases of the Autobahn|Testsuite against one server, one after the other.

    fuzz.py URL RESULTS < list of case ids        (with port.py's DESTINATION in PYTHONPATH)

A case sends frames, good or bad, through its protocol object, collects what comes back and grades
it when the connection is gone. Both are the suite's own; this module is the protocol object and
what connects it. As each case ends a line of JSON with its grades is appended to RESULTS, so that
a run that is broken off leaves what it had.

The suite itself would wait for ever in some cases if a server failed the connection and then
waited too. Here a connection on which no octet moves for SILENCE seconds is reset, and the case
graded as it stands.
"""

import binascii as octet_binascii
import importlib.util
import json
import os
import sys
import time

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from autobahn.websocket.protocol import WebSocketProtocol
from autobahn.websocket.utf8validator import Utf8Validator as OctetUtf8Validator
from twisted.internet import reactor
from twisted.python import log

# Seconds without an octet in either direction until a connection is reset. The suite's own longest
# pause is 3 s; but 16 MiB, or compressed messages, may take the server, and this runner, a while.
SILENCE = 20
SILENCE_SLOW = 120
SLOW_SECTIONS = ("9", "12", "13")
# Entries kept for the reader of a failure.
LOG_MAX = 200
LOG_OCTETS = 32


def to_octets(payload):
    """The suite's picture of octets (see port.py) as octets."""
    return payload.encode("latin-1") if isinstance(payload, str) else payload


def to_text(octets):
    """Octets as the suite's picture of them."""
    return bytes(octets).decode("latin-1")


class binascii:
    """What the cases use of the module `binascii`, for the suite's picture of octets."""

    @staticmethod
    def b2a_hex(payload):
        return octet_binascii.b2a_hex(to_octets(payload)).decode("ascii")

    hexlify = b2a_hex


class Utf8Validator:
    """autobahn's validator for the suite's picture of octets."""

    def __init__(self):
        self.inner = OctetUtf8Validator()

    def reset(self):
        self.inner.reset()

    def validate(self, payload):
        return self.inner.validate(to_octets(payload))


def data_file(package, path):
    """Where the file `path` of an installed package is."""
    spec = importlib.util.find_spec(package)
    return os.path.join(spec.submodule_search_locations[0], path)


def preview(octets):
    more = "..." if len(octets) > LOG_OCTETS else ""
    return "%d octets %s%s" % (len(octets), binascii.b2a_hex(octets[:LOG_OCTETS]), more)


class CaseProtocol(WebSocketClientProtocol):
    """The protocol object of one case, with the names that the suite's cases call."""

    def __init__(self, factory, case_id, case_class):
        super().__init__()
        self.factory = factory
        self.case_id = case_id
        self.connectionWasOpen = False
        self.createWirelog = True
        self.wirelog = []
        self.txFrameStats = {}
        self.rxFrameStats = {}
        self.started = time.monotonic()
        slow = case_id.split(".")[0] in SLOW_SECTIONS
        self.silence_max = SILENCE_SLOW if slow else SILENCE
        self.silence = None
        self.note = None
        # Its `init` may set options of the protocol, which must be there before the connection.
        self.case = case_class(self)

    # ---- life of the connection

    def connectionMade(self):
        self.silence = reactor.callLater(self.silence_max, self.on_silence)
        super().connectionMade()

    def onOpen(self):
        self.connectionWasOpen = True
        self.started = time.monotonic()
        self.case.onOpen()

    def connectionLost(self, reason):
        try:
            super().connectionLost(reason)
            if self.silence.active():
                self.silence.cancel()
            self.case.onConnectionLost(self.failedByMe)
            self.factory.on_graded(self)
        except Exception as error:  # else the run would wait for ever
            log.err()
            self.factory.stop("case %s: %r in the runner" % (self.case_id, error))

    def on_silence(self):
        self.note = "no octet moved for %d s, reset by the runner" % self.silence_max
        self.droppedByMe = True  # which no case takes for a good end
        self.transport.abortConnection()

    def touch(self):
        if self.silence is not None and self.silence.active():
            self.silence.reset(self.silence_max)

    # ---- what arrives (a ping is answered by the base class)

    def _onMessage(self, payload, isBinary):
        self.case.onMessage(to_text(payload), isBinary)

    def _onPong(self, payload):
        self.case.onPong(to_text(payload))

    def _onClose(self, wasClean, code, reason):
        self.case.onClose(wasClean, code, reason)

    # ---- what the cases send

    def sendFrame(self, opcode, payload=b"", fin=True, rsv=0, mask=None, payload_len=None,
                  chopsize=None, sync=False):
        payload = to_octets(payload)
        if payload_len is not None:
            # "This payload, repeated up to that length": autobahn divides as Python 2 did.
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode, payload, fin=fin, rsv=rsv, mask=to_octets(mask),
                          chopsize=chopsize, sync=sync)

    def sendMessage(self, payload, *args, **options):
        super().sendMessage(to_octets(payload), *args, **options)

    def sendMessageFrameData(self, payload, *args, **options):
        return super().sendMessageFrameData(to_octets(payload), *args, **options)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code=code, reasonUtf8=to_octets(reasonUtf8), isReply=isReply)

    # ---- what the cases schedule: each does nothing once the connection is gone

    def later(self, delay, action):
        def run():
            if self.state != WebSocketProtocol.STATE_CLOSED:
                action()

        reactor.callLater(delay, run)

    def continueLater(self, delay, action, tag=None):
        self.record("continue in %s s" % delay)
        self.later(delay, action)

    def killAfter(self, delay):
        self.record("fail the connection in %s s" % delay)
        self.later(delay, self.failConnection)

    def closeAfter(self, delay):
        self.record("close in %s s" % delay)
        self.later(delay, self.sendClose)

    # ---- the log

    def record(self, line):
        if self.createWirelog:
            self.wirelog.append("%6.3f %s" % (time.monotonic() - self.started, line))
            del self.wirelog[:-LOG_MAX]

    def enableWirelog(self, enable):
        self.createWirelog = enable

    def logRxOctets(self, data):
        self.touch()
        self.record("received " + preview(data))

    def logTxOctets(self, data, sync):
        self.touch()
        self.record("sent     " + preview(data))

    def logRxFrame(self, header, payload):
        count(self.rxFrameStats, header.opcode)

    def logTxFrame(self, header, payload, repeatLength, chopsize, sync):
        count(self.txFrameStats, header.opcode)

    def grades(self):
        case = self.case
        return {
            "case": self.case_id,
            "behavior": case.behavior,
            "behaviorClose": case.behaviorClose,
            "result": " ".join(case.result.split()),
            "resultClose": case.resultClose,
            "note": self.note or self.wasNotCleanReason,
            "code": self.remoteCloseCode,
            "reason": self.remoteCloseReason,
            "ms": round(1000 * (time.monotonic() - self.started)),
            "wirelog": self.wirelog,
        }


def count(statistics, opcode):
    statistics[opcode] = statistics.get(opcode, 0) + 1


class CaseFactory(WebSocketClientFactory):
    """Connects once for each case."""

    noisy = False

    def __init__(self, url, cases, results):
        super().__init__(url, useragent="Autobahn|Testsuite")
        # A failing connection sends a Close, as the RFC wants it, rather than dropping TCP.
        self.setProtocolOptions(failByDrop=False)
        self.logOctets = True  # for the log and the watch over silence
        self.logFrames = True  # 10.1.1 counts the frames that it sends
        self.cases = cases  # (id, class)
        self.results = results
        self.failure = None

    def buildProtocol(self, addr):
        return CaseProtocol(self, *self.cases[0])

    def on_graded(self, protocol):
        json.dump(protocol.grades(), self.results)
        self.results.write("\n")
        self.results.flush()
        self.cases = self.cases[1:]

    def clientConnectionLost(self, connector, reason):
        if self.cases:
            connector.connect()
        elif self.failure is None:
            self.stop()

    def clientConnectionFailed(self, connector, reason):
        self.stop("case %s: %s" % (self.cases[0][0], reason.getErrorMessage()))

    def stop(self, failure=None):
        self.failure = failure
        self.cases = []
        if reactor.running:
            reactor.stop()


def case_id(case_class):
    """`Case1_2_3` is case 1.2.3."""
    return case_class.__name__[len("Case"):].replace("_", ".")


def main(url, path):
    from cases import Cases  # imports this module, as `fuzz`

    classes = {case_id(c): c for c in Cases}
    if path == "--list":
        print("\n".join(classes))
        return
    wanted = sys.stdin.read().split()
    log.startLogging(sys.stderr, setStdout=False)
    with open(path, "a") as results:
        factory = CaseFactory(url, [(i, classes[i]) for i in wanted], results)
        connectWS(factory)
        reactor.run()
    if factory.failure is not None:
        sys.exit(factory.failure)


if __name__ == "__main__":
    main(*sys.argv[1:])
