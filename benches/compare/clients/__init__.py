"""The clients that are compared, each as people run it, with every way of finding peers but a
tracker off."""

from .aria2 import Aria2
from .client import Client, Job
from .libtorrent import Libtorrent
from .ours import Ours
from .qbittorrent import Qbittorrent
from .rqbit import Rqbit
from .rtorrent import Rtorrent
from .transmission import Transmission

OTHERS = [Libtorrent, Transmission, Aria2, Qbittorrent, Rtorrent, Rqbit]

__all__ = ["Client", "Job", "Ours", "OTHERS"]
