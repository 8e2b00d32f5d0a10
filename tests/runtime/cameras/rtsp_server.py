"""A camera on the network: a real RTSP server with a moving picture, in a process of its own so that it can be killed.

    rtsp_server.py PORT CODEC [USER PASSWORD]

prints ``ready`` once it listens.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CODECS = {
    "h264": "openh264enc gop-size=5 complexity=low ! h264parse ! rtph264pay config-interval=-1 name=pay0 pt=96",
    "mjpeg": "video/x-raw,format=I420 ! jpegenc quality=95 ! rtpjpegpay name=pay0 pt=26",
    "audio": "fakesink",
}
SIZE = "width=128,height=96,framerate=25/1"


def main() -> None:
    port, codec, *login = sys.argv[1:]
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_shared(True)
    source = f"videotestsrc is-live=true pattern=ball background-color=0xff204060 ! video/x-raw,{SIZE}"
    if codec == "audio":
        launch = "audiotestsrc is-live=true ! audioconvert ! alawenc ! rtppcmapay name=pay0 pt=8"
    else:
        launch = f"{source} ! videoconvert ! {CODECS[codec]}"
    factory.set_launch(f"( {launch} )")
    if login:
        authentication = GstRtspServer.RTSPAuth.new()
        token = GstRtspServer.RTSPToken.new()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        basic = GstRtspServer.RTSPAuth.make_basic(*login)
        authentication.add_basic(basic, token)
        server.set_auth(authentication)
        role = "viewer, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        factory.add_role_from_structure(Gst.Structure.from_string(role)[0])
    server.get_mount_points().add_factory("/stream", factory)
    if not server.attach(None):
        raise SystemExit(f"port {port} cannot be used")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
