// The API's own page: Swagger UI over the description that the service gives of itself.
// @ts-nocheck: the one file beside a vendored script that defines a global, loaded by docs.html alone.

SwaggerUIBundle({ url: "/api/openapi.json", dom_id: "#docs", validatorUrl: null, deepLinking: true });
