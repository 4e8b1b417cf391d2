// js-ipfs behind Kubo's RPC on loopback, without network. Arguments: its folder, its port (0: a free one).
// Says its address in one line; ends with its standard input, so that it never outlives who started it.
import { rmSync } from "node:fs";
import { create } from "ipfs-core";
import { HttpApi } from "ipfs-http-server";

const [repo, port] = process.argv.slice(2);
// Left by a daemon that was killed; a folder belongs to one starter.
rmSync(`${repo}/repo.lock`, { recursive: true, force: true });
const ipfs = await create({
  repo,
  start: false, // no peers: what is not here is not sought
  silent: true,
  preload: { enabled: false },
  config: { Addresses: { API: `/ip4/127.0.0.1/tcp/${port}`, Gateway: "", Swarm: [] }, Bootstrap: [] },
});
// Of a folder that was used before, create keeps the configuration.
await ipfs.config.set("Addresses.API", `/ip4/127.0.0.1/tcp/${port}`);
const api = new HttpApi(ipfs);
await api.start();
const { address, port: taken } = api._apiServers[0].info;
console.log(`http://${address}:${taken}`);
process.stdin.resume().on("end", () => process.exit());
