"""Service: one process from a camera to alarms, clips, a store and outputs.

    camera -> supervisor -> frames (measures every raw frame, keeps it for clips)
                        \\-> magnifying (newest frame wins) -> live feed -> viewers
    frames -> history -> analysis -> spectra, natural frequencies
    frames, analysis -> alarms -> store, clips, MQTT

`process` puts it together; only the command imports this package.

Threads. Those with an asterisk are started by `runtime.host.threads.Threads`, which logs and counts the program error
that ends one. "No lock" stands for a reference or a number that one thread replaces as a whole and others read.


================  ===========================  ==============================  =========================================
Thread            Runs                         Owns                            Shares, and the lock that guards it
================  ===========================  ==============================  =========================================
main              Service.run, Service.look    recovery ladder, governor,      HealthBoard: its _lock
                                               reloader, watchdog, disk guard  magnification settings: Reloader.changing
                                                                               Measuring of the next frame: no lock
camera watch *    CameraSupervisor             deadlines, when to reopen       faults: CameraSupervisor._lock
camera *          supervision.reader.Reader,   the open camera                 slots: LeasingRing._lock
                  one for each opening                                         waiting frames: CameraSupervisor._lock
                                                                               newest frame: Latest's condition
gstreamer: ...    gstreamer.call_bounded       one call into a driver          nothing
overhearing       OutputTap, for CSI cameras   pipe behind stdout or stderr    heard lines: OutputTap._lock
frames *          FrameLoop.work               Measuring, UnixClock            displacement: MotionHistory._lock
                                                                               live series: LiveFeed._changed
                                                                               frames for clips: FrameHistory._lock
magnifying *      Magnifying.work              EnginePool, MagnifyLoop,        pictures: LiveFeed._changed
                                               FadingMagnifier                 stage times: StageLatencies._lock
                                                                               load level: no lock
analysis *        Analyst.look                 FrequencyTracker                copy of MotionHistory: its _lock
                                                                               findings, live spectra: no lock
events-raw *      EventRecorder                video writer                    recording, counters:
events-magnified* EventRecorder                video writer, EventMagnifier    EventRecorder._changed
store *           BackgroundStore              Housekeeper, batches            queued records: BackgroundStore._changed
                                                                               connection: Store._mutex
store check *     SoundnessWatch               a reader of its own             its connection: SoundnessWatch._lock
heat *            telemetry Sampler            thermal files                   latest reading: no lock
telemetry *       telemetry Sampler            power, clock and load files     latest reading: no lock
jtop              JtopLink, if configured      connection to jtop's service    latest answer: JtopLink._lock
engines *         EngineUpkeep.work            process that builds engines     stale engines: queue; state: no lock
restart argus *   CameraRecovery               one request to the system       file of all instances: its flock
NAME start *      RetriedOutput, one each      attempts to open the output     the output: RetriedOutput._lock
http *            WebServer, asyncio           connections, sessions           status: HealthBoard._lock
live pictures *   LivePictures                 JPEG encoders                   wanted views: LivePictures._changed
web archive       Archive                      queries of lists and clips      reader: Archive._mutex
web series        Archive, one an export       StoreReader of its own          nothing
web regions       RegionHandlers               frames to judge regions by      changes for main: RegionChanges' queue
mqtt *            MqttPublisher, and paho's    buffer on the disk              unsent messages: MqttPublisher._changed
rtsp *            RtspPublisher                encoder, connection             pictures: LiveFeed._changed
================  ===========================  ==============================  =========================================

Alarms have no thread of their own: frames, analysis, main and http call them under AlarmService._lock, and an edge is
handed to store, recorder and outputs within it, so that no receiver may wait. At the end, main closes camera and
outputs in two threads more, which are left behind where a driver or a network hangs.
"""
