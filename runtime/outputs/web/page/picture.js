// The live picture: reads the stream part by part and draws it. Reading no faster than drawing makes the device send
// no faster: a slow client gets fewer pictures, never old ones.

const RETRY_MS = [500, 1000, 2000, 4000];
const LONGEST_HEAD = 4096;

export class LivePicture {
  constructor(canvas, { shown, troubled }) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.shown = shown;
    this.troubled = troubled;
    this.running = null;
    this.view = null;
    this.count = 0;
    this.paces = [];
  }

  start(view) {
    this.stop();
    this.view = view;
    const running = new AbortController();
    this.running = running;
    this.run(view, running.signal);
  }

  stop() {
    this.running?.abort();
    this.running = null;
  }

  async run(view, signal) {
    for (let failures = 0; !signal.aborted;) {
      try {
        const response = await fetch(`live.mjpeg?view=${view}`, { signal, cache: "no-store" });
        if (response.status === 401) { location.assign("login"); return; }
        if (!response.ok) throw new Error((await response.text()).trim());
        for await (const jpeg of parts(response.body.getReader())) {
          await this.paint(jpeg, signal);
          failures = 0;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.troubled(error instanceof TypeError ? "connection lost" : error.message);
      }
      await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
      failures += 1;
    }
  }

  async paint(jpeg, signal) {
    const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (!signal.aborted) {
      if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
        this.canvas.width = bitmap.width;
        this.canvas.height = bitmap.height;
      }
      this.pen.drawImage(bitmap, 0, 0);
      this.count += 1;
      const now = performance.now();
      this.paces = [...this.paces.filter((each) => now - each < 2000), now];
      this.shown();
    }
    bitmap.close();
  }

  // Pictures a second over the latest two seconds.
  rate() {
    const now = performance.now();
    const recent = this.paces.filter((each) => now - each < 2000);
    return recent.length > 1 ? (1000 * (recent.length - 1)) / (recent[recent.length - 1] - recent[0]) : 0;
  }

  sinceLastMs() {
    return this.paces.length ? performance.now() - this.paces[this.paces.length - 1] : Infinity;
  }
}

// The JPEG files in a multipart/x-mixed-replace stream.
async function* parts(reader) {
  const decoder = new TextDecoder();
  let buffer = new Uint8Array(0);
  const fill = async () => {
    const { value, done } = await reader.read();
    if (done) throw new TypeError("the stream has ended");
    const joined = new Uint8Array(buffer.length + value.length);
    joined.set(buffer);
    joined.set(value, buffer.length);
    buffer = joined;
  };
  try {
    for (;;) {
      let end = -1;
      while ((end = endOfHead(buffer)) < 0) {
        if (buffer.length > LONGEST_HEAD) throw new Error("the stream is not understood");
        await fill();
      }
      const length = Number(/content-length: *(\d+)/i.exec(decoder.decode(buffer.subarray(0, end)))?.[1]);
      if (!length) throw new Error("the stream is not understood");
      while (buffer.length < end + length) await fill();
      yield buffer.slice(end, end + length);
      buffer = buffer.slice(end + length);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function endOfHead(buffer) {
  for (let n = 0; n + 3 < buffer.length; n += 1) {
    if (buffer[n] === 13 && buffer[n + 1] === 10 && buffer[n + 2] === 13 && buffer[n + 3] === 10) return n + 4;
  }
  return -1;
}
