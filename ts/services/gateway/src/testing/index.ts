export { testGateway } from "./gateway.js";
export { end, FakeMesh, runOf, words } from "./mesh.js";
