import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
// The slow suite asks for more: STEELYARD_FUZZ_RUNS=1500; scripts/stress for more runs of the invariants alone.
const runs = Number(process.env.STEELYARD_FUZZ_RUNS ?? 96);
const invariantRuns = Number(process.env.STEELYARD_INVARIANT_RUNS ?? Math.max(8, Math.floor(runs / 8)));

export default {
  solidity: {
    compilers: [
      {
        version: "0.8.37",
        path: require.resolve("solc/soljson.js"), // npm's solc: nothing is downloaded
        settings: {
          optimizer: { enabled: true, runs: 200 },
          evmVersion: "cancun",
          metadata: { bytecodeHash: "none" },
        },
      },
    ],
  },
  paths: {
    sources: "./contracts",
    tests: { solidity: "./tests/contracts" },
    artifacts: "./artifacts-hardhat",
  },
  test: {
    solidity: {
      fsPermissions: { readFile: ["tests/vectors/states.json"] },
      fuzz: { runs },
      invariant: { runs: invariantRuns, depth: 64, failOnRevert: true },
    },
  },
};
