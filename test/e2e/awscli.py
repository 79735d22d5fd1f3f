"""Debian's aws CLI, loaded once: its modules and the services' models take a second of
CPU to load, and the scripts call it hundreds of times. This listens on the socket that
it is told, and forks itself for each call. It ends when its standard input does.
"""

import gc
import json
import os
import random
import select
import signal
import socket
import sys
import threading
import traceback

import awscli.clidriver  # before botocore, which it brings along
from botocore import waiter
from botocore.exceptions import UnknownServiceError

SERVICES = [
    "acm", "autoscaling", "cloudwatch", "ec2", "ecr", "eks", "elb", "elbv2", "iam",
    "resourcegroupstaggingapi", "route53", "sts",
]


def load():
    """The CLI with all that it would load in each call."""
    driver = awscli.clidriver.create_clidriver()
    commands = driver._get_command_table()
    loader = driver.session.get_component("data_loader")
    for service in SERVICES:
        commands[service]._get_command_table()
        for kind in ["paginators-1", "waiters-2", "endpoint-rule-set-1"]:
            try:
                loader.load_service_model(service, kind)
            except UnknownServiceError:
                pass  # it has none
    for name in ["endpoints", "partitions"]:
        loader.load_data(name)
    driver.session._config = driver.session._profile_map = None  # the caller's count
    gc.collect()
    gc.freeze()  # or a child would copy all of it, to mark it
    return driver


def ask_often():
    """Waiters ask every second, for as long as they would: AWS takes longer than Tarn."""
    init = waiter.SingleWaiterConfig.__init__

    def often(self, config):
        init(self, config)
        self.max_attempts, self.delay = self.max_attempts * self.delay, 1

    waiter.SingleWaiterConfig.__init__ = often


ask_often()
driver = load()


def ended_with(conn):
    """The caller was killed: so is the call."""
    if not conn.recv(1):
        os._exit(1)


def serve(conn):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, fds, _, _ = socket.recv_fds(conn, 1, 3)
    if not said:
        os._exit(0)  # it only looked whether this listens
    stream = conn.makefile("rb")
    call = json.loads(stream.read(int(stream.readline())))
    for to, fd in enumerate(fds):
        os.dup2(fd, to)
        os.close(fd)
    os.chdir(call["dir"])
    data = os.environ["AWS_DATA_PATH"]  # awscli's own, set when it was loaded
    os.environ.clear()
    os.environ.update(call["env"], AWS_DATA_PATH=data)
    sys.argv = ["aws"] + call["args"]
    random.seed()
    threading.Thread(target=ended_with, args=(conn,), daemon=True).start()
    code = 255
    try:
        code = awscli.clidriver.AWSCLIEntryPoint(driver).main(call["args"])
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = 255
    conn.sendall(bytes([code & 255]))
    os._exit(code)


def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os.unlink(sys.argv[1])
            os.rmdir(os.path.dirname(sys.argv[1]))
            return
        conn, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            try:
                serve(conn)
            finally:
                traceback.print_exc()
                os._exit(255)
        conn.close()


main()
