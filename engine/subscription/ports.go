package subscription

import "github.com/observatory-go/observatory/engine/subscription/consumergroup"

type (
	Source = consumergroup.Broker
	Seat   = consumergroup.Membership
	Member = consumergroup.Member
	Read   = consumergroup.Read
	Held   = consumergroup.Entry
)
