/** Numbers of the gRPC codes that Envoy answers by itself (https://grpc.io/docs/guides/status-codes). */
export const PERMISSION_DENIED = 7;
export const UNAVAILABLE = 14;
