export { type Certificates, makeCertificates } from "./certificates.js";
export { drainStream, failureOf, openTestClient, type TestClient } from "./echo-client.js";
export { startTestServer, type TestServer, testConfig } from "./echo-server.js";
export { NatsServer } from "./nats-server.js";
export { freePort, waitUntil } from "./wait.js";
