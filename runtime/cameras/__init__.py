"""Cameras: CSI, USB (V4L2), network (RTSP), recorded clips and a drawn structure, all of one interface."""
