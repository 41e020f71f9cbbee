// NumPy's .npy format, version 1: what the API takes and gives as arrays.

const KINDS = {
  "|u1": Uint8Array, "<f4": Float32Array, "<f8": Float64Array, "<i4": Int32Array, "|i1": Int8Array, "|b1": Uint8Array,
};

/** { shape, data } of a file in C order. */
export function readNpy(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer);
  if (bytes.length < 12 || bytes[0] !== 0x93 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY")
    throw new Error("this is no npy file");
  const wide = bytes[6] > 1, start = wide ? 12 : 10;
  const size = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, start + size));
  const kind = /'descr':\s*'([^']+)'/.exec(header)?.[1];
  const inside = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (!(kind in KINDS) || inside === undefined || !/'fortran_order':\s*False/.test(header))
    throw new Error("npy files are read in C order, of 8-bit levels, integers or floats");
  const shape = inside.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  return { shape, data: new KINDS[kind](buffer.slice(start + size)) };
}

/** The bytes of a file that holds a Uint8Array or Float32Array. */
export function writeNpy(data, shape) {
  const kind = data instanceof Float32Array ? "<f4" : "|u1";
  const plain = `{'descr': '${kind}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const header = plain.padEnd(Math.ceil((plain.length + 11) / 64) * 64 - 11, " ") + "\n";
  const head = new Uint8Array(10 + header.length);
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  head.set(new TextEncoder().encode(header), 10);
  return new Blob([head, data]);
}

/** Rows of an array { shape, data } as flat arrays. */
export function rowsOf({ shape, data }) {
  const size = shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: shape[0] }, (_, row) => data.slice(row * size, (row + 1) * size));
}

/** One batch of rows as npy; shape is that of one row. */
export function batch(rows, shape) {
  const size = shape.reduce((a, b) => a * b, 1), data = new rows[0].constructor(rows.length * size);
  rows.forEach((row, at) => data.set(row, at * size));
  return writeNpy(data, [rows.length, ...shape]);
}
