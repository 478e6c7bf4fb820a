// Package portalsim is a simulated ONLYOFFICE DocSpace portal, for the gateway's tests
// and for its demo.
//
// It keeps rooms, folders, files, people and API keys in memory, serves the part of the
// portal's REST API a gateway meets (/api/2.0/...), runs fileops operations in background
// workers, and delivers signed webhooks the way DocSpace does. It imitates the server with
// its faults: results that can be read once, batches that lose errors, answers of 403 for
// a file that is gone, limits that say nothing about when to come back. A test that passes
// against a kinder portal proves nothing about a real one. On top of that a test may Inject
// faults: refused, hanging, late, garbled or lost answers, lost operations, failing items.
//
// Time is the standard library's, so that a whole portal can live in a testing/synctest
// bubble. There it is reached through Transport, and reaches the code under test through
// HandlerTransport, because network connections do not take part in simulated time.
//
// What it refuses to do:
//
//   - It opens no connection but webhook deliveries and their HEAD probe, and asks no DNS
//     server: see Options.Resolve.
//   - It stores no file contents, only names and sizes, and nothing on disk.
//   - It checks no right of the Go methods that stand for what people do (Upload, Trash,
//     MoveEntry ...): people are assumed to have done what the test says they did. The REST
//     API checks every right.
//   - It serves no part of the portal a gateway has no business with: sharing, editing,
//     sessions of chunked uploads, OAuth, cookies.
//
// The Go methods panic when given an id that does not exist: that is a mistake in the
// test, not a condition to simulate.
package portalsim
