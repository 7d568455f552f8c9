package rules

// Rules 2 and 3: the steps of a batch of grants.

// Steps are what an engine does for a batch.
type Steps struct {
	// Seen checks what the batch builds on, Consume uses a code or a refresh token up.
	Seen, Consume func() error
	// Use and Slide change the session, Remove and Revoke take grants, Store adds some.
	Use, Slide, Remove, Revoke, Store func() error
}

// InOrder returns the steps in their order. What refuses a batch comes before what it changes. What is
// stored comes last: a batch that revokes a family, or removes what stands under a key, does not take what it
// stores itself.
func (s *Steps) InOrder() [7]func() error {
	return [...]func() error{s.Seen, s.Consume, s.Use, s.Slide, s.Remove, s.Revoke, s.Store}
}
