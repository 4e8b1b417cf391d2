import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
// The slow suite asks for more: STEELYARD_FUZZ_RUNS=5000.
const runs = Number(process.env.STEELYARD_FUZZ_RUNS ?? 96);

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
      invariant: { runs: Math.max(8, Math.floor(runs / 8)), depth: 64, failOnRevert: true },
    },
  },
};
