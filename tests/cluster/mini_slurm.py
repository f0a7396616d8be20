"""A real Slurm on this machine: nodes that are hosts of their own (network, host name, processes), a controller, accounting.

Each node is a network namespace on a bridge with a PID, UTS and mount namespace; the process that holds them is its power switch.
Files are shared by all nodes, as on a cluster. Only processes that were started here are ended, by their numbers.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = [
    *("slurmctld", "slurmd", "slurm-client", "slurmdbd", "mariadb-server", "munge"),
    *("openssh-server", "openssh-client", "pdsh", "iproute2", "util-linux", "procps"),
]
ROOT, RUN, LOG = Path("/var/lib/dllm-run-slurm"), Path("/run/dllm-run-slurm"), Path("/var/log/dllm-run-slurm")
NET, BRIDGE = "10.78.0", "dllmrunbr0"
HEAD = f"{NET}.254"
CPUS, MEMORY, GPUS = 4, 6000, 2
MARK = "# dllm-run test cluster"


PROBE = "dllmrunprobe"


def why_not() -> str | None:
    """What keeps this machine from having a Slurm; None: nothing."""
    if os.getuid() != 0:
        return "not root: network namespaces and slurmd need it"
    if not shutil.which("apt-get") and not all(shutil.which(name) for name in ("slurmctld", "slurmd", "munged", "ip")):
        return "no apt-get, and Slurm is not installed"
    if shutil.which("ip") and subprocess.run(["ip", "link", "add", PROBE, "type", "dummy"], capture_output=True).returncode != 0:
        made = subprocess.run(["ip", "link", "add", PROBE, "type", "bridge"], capture_output=True, text=True)
        if made.returncode != 0:
            return f"no network can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "link", "del", PROBE], capture_output=True)
    if subprocess.run(["pgrep", "-x", "slurmctld"], capture_output=True).returncode == 0 and not (RUN / "slurmctld.pid").is_file():
        return "another Slurm runs on this machine"
    return None


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(what: Callable[[], object], seconds: float, text: str) -> None:
    """Raises AssertionError where it does not come true in time."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"never: {text}"
        time.sleep(0.2)


def run(*words: str, check: bool = True, **more: str) -> str:
    """What a command printed."""
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **more}, check=False)
    assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def _answers(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@dataclass
class Cluster:
    """The nodes, by number from 1."""

    count: int = 3
    accounting: bool = True
    pids: dict[str, int] = field(default_factory=dict)
    hosts_before: str = ""

    def install(self) -> str | None:
        """Install what is missing. Why it cannot be had, or why no host can be made of this one; None: all is here."""
        missing = [name for name in PACKAGES if "ok installed" not in run("dpkg-query", "-W", "-f=${Status}", name, check=False)]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        steps = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]] if missing else []
        own = ["unshare", "--uts", "--pid", "--mount-proc", "--fork", "true"]
        steps += [["ip", "netns", "add", PROBE], ["ip", "netns", "exec", PROBE, *own]]
        try:
            for step in steps:
                done = subprocess.run(step, capture_output=True, text=True, env=quiet, check=False)
                if done.returncode != 0:
                    told = done.stderr.strip().splitlines()
                    return f"{' '.join(step[:3])} ended with {done.returncode}: {told[-1] if told else 'nothing was said'}"
        finally:
            if shutil.which("ip"):
                subprocess.run(["ip", "netns", "del", PROBE], capture_output=True, check=False)
        return None

    def up(self) -> None:
        """Start everything."""
        shutil.rmtree(ROOT, ignore_errors=True)
        for folder in (ROOT, ROOT / "ctld", RUN, LOG, Path("/run/sshd"), Path("/etc/slurm")):
            folder.mkdir(parents=True, exist_ok=True)
        self._names()
        self._ssh()
        self._configuration()
        self._network()
        self._munge()
        if self.accounting:
            self._database()
        self._controller()
        for number in range(1, self.count + 1):
            self.start_node(number)
        wait_for(lambda: self.ready(), 40, f"all nodes idle: {run('sinfo', '-N', '-l', check=False)}")

    def ready(self) -> bool:
        """Whether every node takes jobs."""
        states = run("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split()
        return len(states) == self.count and set(states) <= {"idle", "mixed", "allocated", "completing"}

    def down(self) -> None:
        """End everything that was started here."""
        for name, pid in reversed(self.pids.items()):
            if alive(pid):
                os.kill(pid, signal.SIGKILL if name.startswith("node") else signal.SIGTERM)
        for name, pid in reversed(self.pids.items()):
            until = time.monotonic() + 10
            while alive(pid) and time.monotonic() < until:
                time.sleep(0.1)
            if alive(pid) and not name.startswith("node"):
                os.kill(pid, signal.SIGKILL)
        for number in range(1, self.count + 1):
            run("ip", "netns", "del", f"dllmrun{number}", check=False)
        run("ip", "link", "del", BRIDGE, check=False)
        hosts = Path("/etc/hosts")
        hosts.write_text("".join(line for line in hosts.read_text().splitlines(keepends=True) if MARK not in line))
        Path("/etc/ssh/ssh_config.d/dllm-run-slurm.conf").unlink(missing_ok=True)
        shutil.rmtree(RUN, ignore_errors=True)

    def kill_node(self, number: int) -> None:
        """Cut a node's power."""
        os.kill(self.pids.pop(f"node{number}"), signal.SIGKILL)

    def start_node(self, number: int) -> None:
        """Switch a node on."""
        (RUN / f"slurmd.node{number}.pid").unlink(missing_ok=True)
        log = (LOG / f"node{number}.out").open("ab")
        words = ["ip", "netns", "exec", f"dllmrun{number}", "unshare", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child"]
        process = subprocess.Popen([*words, str(ROOT / "node-init"), f"node{number}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pids[f"node{number}"] = process.pid

    def on_node(self, number: int, *words: str) -> list[str]:
        """The words that run a command in a node's namespaces."""
        inner = run("pgrep", "-P", str(self.pids[f"node{number}"]))
        return ["nsenter", "-t", inner.split()[0], "-n", "-u", "-p", "-m", *words]

    def _names(self) -> None:
        hosts = Path("/etc/hosts")
        kept = [line for line in hosts.read_text().splitlines() if MARK not in line]
        names = [f"{HEAD} dllmrunhead {MARK}", *(f"{NET}.{number} node{number} {MARK}" for number in range(1, self.count + 1))]
        hosts.write_text("\n".join([*kept, *names]) + "\n")

    def _ssh(self) -> None:
        if not (ROOT / "key").is_file():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(ROOT / "key"))
        run("ssh-keygen", "-A")
        (ROOT / "authorized_keys").write_text((ROOT / "key.pub").read_text())
        Path("/etc/ssh/ssh_config.d/dllm-run-slurm.conf").write_text(
            f"Host node? {NET}.*\n  IdentityFile {ROOT}/key\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
        (ROOT / "sshd_config").write_text(
            f"Port 22\nHostKey /etc/ssh/ssh_host_ed25519_key\nAuthorizedKeysFile {ROOT}/authorized_keys\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nUsePAM no\nStrictModes no\nMaxStartups 100\nPidFile none\n"
        )
        init = ROOT / "node-init"
        init.write_text(
            f'#!/bin/bash\nhostname "$1"\nmount -t tmpfs tmpfs /dev/shm\ntrap "exit 0" TERM INT\n'
            f"/usr/sbin/sshd -f {ROOT}/sshd_config -E {LOG}/sshd.$1.log\n"
            '/usr/sbin/slurmd -N "$1"\nwhile :; do sleep 3600 & wait $!; done\n'
        )
        init.chmod(0o755)

    def _configuration(self) -> None:
        for number in range(GPUS):
            if not Path(f"/dev/dllmrungpu{number}").exists():
                run("mknod", "-m", "666", f"/dev/dllmrungpu{number}", "c", "1", "3")
        accounts = (
            f"AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost={HEAD}\n"
            if self.accounting
            else f"AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/filetxt\nJobCompLoc={LOG}/jobcomp.log\n"
        )
        name = run("hostname", "-s")
        Path("/etc/slurm/slurm.conf").write_text(
            f"""ClusterName=dllmrun
SlurmctldHost={name}({HEAD})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5
StateSaveLocation={ROOT}/ctld
SlurmdSpoolDir={ROOT}/spool.%n
SlurmctldPidFile={RUN}/slurmctld.pid
SlurmdPidFile={RUN}/slurmd.%n.pid
SlurmctldLogFile={LOG}/slurmctld.log
SlurmdLogFile={LOG}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=30
KillWait=10
MinJobAge=60
MaxArraySize=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=256
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=100000
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobAcctGatherType=jobacct_gather/linux
{accounts}GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=node[1-{self.count}] CPUs={CPUS} RealMemory={MEMORY} Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
        )
        Path("/etc/slurm/gres.conf").write_text(
            f"AutoDetect=off\nNodeName=node[1-{self.count}] Name=gpu File=/dev/dllmrungpu[0-{GPUS - 1}]\n"
        )
        Path("/etc/slurm/cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        database = Path("/etc/slurm/slurmdbd.conf")
        database.write_text(
            f"DbdHost={name}\nDbdAddr={HEAD}\nSlurmUser=root\nAuthType=auth/munge\nLogFile={LOG}/slurmdbd.log\nPidFile={RUN}/slurmdbd.pid\n"
            "StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort=33307\nStorageUser=slurm\nStoragePass=slurm\n"
            "StorageLoc=slurm_acct_db\n"
        )
        database.chmod(0o600)

    def _network(self) -> None:
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{HEAD}/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        for number in range(1, self.count + 1):
            space, outer = f"dllmrun{number}", f"dllmrunv{number}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", outer, "master", BRIDGE, "up")
            run("ip", "-n", space, "addr", "add", f"{NET}.{number}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "-n", space, "link", "set", "eth0", "up")

    def _munge(self) -> None:
        if _answers("sh", "-c", "munge -n | unmunge"):
            return
        key = Path("/etc/munge/munge.key")
        if not key.is_file() or not key.stat().st_size:
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            run("chown", "-R", "munge:munge", folder)
        run("chown", "munge:munge", str(key))
        for stale in Path("/run/munge").glob("munge.socket.2*"):
            stale.unlink()
        run("runuser", "-u", "munge", "--", "/usr/sbin/munged", "--syslog")
        self.pids["munged"] = int(Path("/run/munge/munged.pid").read_text())
        wait_for(lambda: _answers("sh", "-c", "munge -n | unmunge"), 10, "munge")

    def _database(self) -> None:
        data, socket = ROOT / "mysql", RUN / "mysql"
        for folder in (data, socket):
            folder.mkdir(exist_ok=True)
            run("chown", "mysql:mysql", str(folder))
        install = ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", "--skip-test-db"]
        run(*install, "--auth-root-authentication-method=socket")
        log = (LOG / "mariadbd.log").open("ab")
        options = (
            "--bind-address=127.0.0.1 --port=33307 --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-log-file-size=32M"
        )
        more = "--innodb-flush-log-at-trx-commit=0 --skip-log-bin --skip-name-resolve"
        words = [
            "mariadbd",
            "--no-defaults",
            "--user=mysql",
            f"--datadir={data}",
            f"--socket={socket}/m.sock",
            *options.split(),
            *more.split(),
        ]
        self.pids["mariadbd"] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True).pid
        wait_for(lambda: _answers("mariadb-admin", "--no-defaults", f"--socket={socket}/m.sock", "ping"), 40, "mariadbd")
        grant = (
            "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'; "
            "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
        )
        run("mariadb", "--no-defaults", f"--socket={socket}/m.sock", "-e", grant)
        run("slurmdbd")
        wait_for(lambda: _answers("sacctmgr", "-n", "list", "cluster"), 40, "slurmdbd")
        self.pids["slurmdbd"] = int((RUN / "slurmdbd.pid").read_text())
        if "dllmrun" not in run("sacctmgr", "-n", "list", "cluster", "format=cluster"):
            run("sacctmgr", "-i", "-Q", "add", "cluster", "dllmrun")

    def _controller(self) -> None:
        run("slurmctld")
        wait_for(lambda: _answers("scontrol", "ping") and "UP" in run("scontrol", "ping", check=False), 40, "slurmctld")
        self.pids["slurmctld"] = int((RUN / "slurmctld.pid").read_text())

    def stop_controller(self) -> None:
        """The scheduler is gone."""
        pid = self.pids.pop("slurmctld")
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid), 20, "slurmctld ends")

    def start_controller(self) -> None:
        """And back, with what it knew."""
        self._controller()
        wait_for(self.ready, 40, "all nodes are back")

    def without_accounting(self) -> None:
        """Another configuration: no slurmdbd, as many small clusters have it."""
        self.stop_controller()
        self.accounting = False
        self._configuration()
        self.start_controller()
