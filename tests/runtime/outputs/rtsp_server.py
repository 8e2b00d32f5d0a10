"""A media server that takes one stream and writes its pictures into a file as raw RGB: PORT FILE [USER PASSWORD].

Runs under the system's Python, which has GStreamer's bindings (gir1.2-gst-rtsp-server-1.0).
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
if "--check" in sys.argv:
    needed = ("rtph264depay", "h264parse", "avdec_h264", "videoconvert", "filesink")
    sys.exit(any(Gst.ElementFactory.find(name) is None for name in needed))
port, path, *login = sys.argv[1:]
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
factory.set_latency(0)
factory.set_launch(
    "( rtph264depay name=depay0 ! h264parse ! avdec_h264 ! videoconvert ! video/x-raw,format=RGB ! "
    f"filesink location={path} sync=false append=true buffer-mode=2 )"
)
if login:
    user, password = login
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    role = "user,media.factory.access=true,media.factory.construct=true"
    factory.add_role_from_structure(Gst.Structure.new_from_string(role))
server.get_mount_points().add_factory("/bridge", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
