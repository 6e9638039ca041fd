export { CATALOGUE_FILE, loadCatalogue, parseCatalogue } from "./catalogue/load.js";
export type { Catalogue, Infrastructure, Language, Layer, Service } from "./catalogue/schema.js";
export { ROOT } from "./context.js";
export { Failure, type Reason } from "./failure.js";
export { ensureCertificates } from "./identity/certificates.js";
export { built, type Layout, type LayoutEnvironment, layout, type Paths, pathsOf, type Replica } from "./layout.js";
export { serviceEnvironment } from "./made/programs.js";
export { Supervisor } from "./mesh/supervisor.js";
export { pythonPrograms } from "./tools/python.js";
