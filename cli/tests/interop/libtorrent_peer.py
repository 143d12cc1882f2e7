#!/usr/bin/env python3
"""One torrent served and fetched by libtorrent sessions, one for each --listen.

Says `complete IP:PORT` on stdout when a session has everything. Runs until it is killed or, with
--leave, until all sessions have everything; then it says `starting took SECONDS` of processor time
before the first session was opened, which is Python's doing and not libtorrent's. Every way of finding peers but the torrent's trackers
and --peer is off.
"""

import argparse
import sys
import time

import libtorrent as lt


def open_session(listen):
    # In brackets it would be the name of a device.
    address = listen.rsplit(":", 1)[0].strip("[]")
    return lt.session(
        {
            "listen_interfaces": listen,
            "outgoing_interfaces": address,
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "ssrf_mitigation": False,
            "in_enc_policy": int(lt.enc_policy.disabled),
            "out_enc_policy": int(lt.enc_policy.disabled),
            "connection_speed": 100,
            "unchoke_slots_limit": 100,
            "alert_mask": lt.alert.category_t.error_notification
            | lt.alert.category_t.peer_notification
            | lt.alert.category_t.status_notification
            | lt.alert.category_t.tracker_notification,
        }
    )


def add_torrent(session, path, data, peers):
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(path)
    params.save_path = data
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    handle = session.add_torrent(params)
    for peer in peers:
        host, port = peer.rsplit(":", 1)
        handle.connect_peer((host.strip("[]"), int(port)))
    return handle


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torrent", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--listen", action="append", required=True, metavar="IP:PORT")
    parser.add_argument("--peer", action="append", default=[], metavar="IP:PORT")
    parser.add_argument("--leave", action="store_true", help="leave when everything is there")
    args = parser.parse_args()
    starting = time.process_time()

    sessions = []
    for listen in args.listen:
        session = open_session(listen)
        sessions.append((listen, session, add_torrent(session, args.torrent, args.data, args.peer)))

    complete = set()
    while not (args.leave and len(complete) == len(sessions)):
        # Alerts wake the first session; the others are looked at as often.
        sessions[0][1].wait_for_alert(250)
        for listen, session, handle in sessions:
            for alert in session.pop_alerts():
                print(listen, alert.what(), alert.message(), file=sys.stderr, flush=True)
            if listen not in complete and handle.status().is_seeding:
                complete.add(listen)
                print("complete", listen, flush=True)
    print("starting took", starting, flush=True)


if __name__ == "__main__":
    main()
