package hostadapter

// What the packages below hostadapter get of an Adapter.

import "github.com/fosite-sessions/sessions/hostadapter/internal/tie"

// Tie is for the packages below hostadapter: it is of no use to hosts, and may change at any time.
func (a *Adapter) Tie() *tie.Adapter {
	return &tie.Adapter{
		Issuer: a.config.Issuer, ServesIssuer: a.servesIssuer, Logger: a.config.Logger, Now: a.now,
		Persist: persist, EndExpired: a.endExpired, UserActive: a.userActive,
		Seal: func(bound tie.Binding, plaintext []byte) []byte {
			return a.ring.seal(bound.Purpose, bound.ID, plaintext)
		},
		Unseal: func(bound tie.Binding, sealed []byte) ([]byte, error) {
			return a.unseal(bound.Purpose, bound.ID, sealed)
		},
		UnsealBound: a.unsealBound, Coordinates: a.coordinates, Slide: a.slide, SlideDue: a.slideDue,
		SlideNow: a.slideNow, Slid: a.publishRenewed, FormToken: a.formToken,
		CheckFormToken: a.checkFormToken, Mark: a.mark, ReadMark: a.readMark,
	}
}
