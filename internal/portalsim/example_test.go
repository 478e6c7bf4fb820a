package portalsim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"docspace-router/internal/portalsim"
)

// A portal whose webhooks reach a handler in memory, and whose API is called in memory too.
func Example() {
	gateway := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println("webhook with a body:", len(body) > 0, "signed:", r.Header.Get("x-docspace-signature-256") != "")
	})
	portal := portalsim.New(portalsim.Options{
		HTTPClient: &http.Client{Transport: portalsim.HandlerTransport(gateway)},
		Timings:    portalsim.Timings{QueuePause: -1},
	})
	defer portal.Close()

	ann := portal.AddUser(portalsim.User{DisplayName: "Ann", Email: "ann@example.com"})
	room := portal.AddRoom(portalsim.Room{Title: "Inbox", Owner: ann})
	portal.AddWebhook(portalsim.Webhook{
		Name: "router", URL: "https://gateway.example.com/webhook", Secret: "Str0ng!Secret", Owner: ann, Enabled: true,
	})
	portal.Upload(room, "contract.pdf", 1<<20, ann)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := portal.WaitDelivered(ctx); err != nil {
		fmt.Println(err)
	}

	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, portal.URL()+"/api/2.0/files/"+string(room), nil)
	req.Header.Set("Authorization", "Bearer "+portal.AddKey(ann, "files:read"))
	resp, err := portal.Client().Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode, portal.List(room)[0].Title)
	// Output:
	// webhook with a body: true signed: true
	// 200 contract.pdf
}
