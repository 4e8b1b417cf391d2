// An independent implementation's CIDs: reads sizes in bytes, one a line, and prints `size cid` for the file whose
// byte i is i mod 251, as `ipfs add --cid-version=1 --raw-leaves --chunker=size-262144` would name it.
import { importer } from "ipfs-unixfs-importer";
import { fixedSize } from "ipfs-unixfs-importer/chunker";
import { balanced } from "ipfs-unixfs-importer/layout";
import { readFileSync } from "node:fs";

const nowhere = { put: async (cid) => cid };
const options = {
  cidVersion: 1,
  rawLeaves: true,
  wrapWithDirectory: false,
  reduceSingleLeafToSelf: true,
  chunker: fixedSize({ chunkSize: 262144 }),
  layout: balanced({ maxChildrenPerNode: 174 }),
};

function* content(size) {
  const pattern = new Uint8Array(251 * 4096).map((_, index) => index % 251);
  for (let at = 0; at < size; at += pattern.length) yield pattern.subarray(0, Math.min(pattern.length, size - at));
}

for (const size of readFileSync(0, "utf8").trim().split(/\s+/).map(Number)) {
  for await (const entry of importer([{ path: "file", content: content(size) }], nowhere, options)) {
    console.log(`${size} ${entry.cid}`);
  }
}
