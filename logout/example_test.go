package logout_test

// Examples of the package.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

func ExampleValidateClient() {
	fmt.Println(logout.ValidateClient(logout.Client{
		ClientID: "shop", BackChannelLogoutURI: "https://shop.example/logout",
	}))
	fmt.Println(logout.ValidateClient(logout.Client{
		ClientID: "shop", BackChannelLogoutURI: "https://shop.example/#logout",
	}))
	// Output:
	// <nil>
	// invalid backchannel_logout_uri: has a fragment
}

func ExampleNewDispatcher() {
	dispatcher, err := logout.NewDispatcher(logout.DispatcherConfig{
		Store:   newQueue(), // in a host: backend.Logout()
		Signer:  plainSigner{},
		Clients: logout.ClientMap{"shop": {BackChannelLogoutURI: "https://shop.example/logout"}},
		Timeout: 5 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	dispatcher.Wake() // after something was queued
	fmt.Println(dispatcher.Close())
	// Output: <nil>
}
