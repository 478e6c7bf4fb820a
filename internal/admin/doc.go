// Package admin serves the administrators' listener: the admin API with its OpenAPI document,
// metrics, profiles and the reload endpoint.
//
// It reads the database and asks the gateway to reload; it takes no part in an event's way
// and never sees a secret.
package admin
