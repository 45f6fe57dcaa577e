package secretsmanager

import (
	"context"
	"strconv"

	"lockstep/api/awsjson"
)

type tagInput struct {
	SecretID *string `json:"SecretId"`
	Tags     []tag   `json:"Tags"`
}

func (in *tagInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if in.Tags == nil {
		c.Required(awsjson.Field{Path: "tags"})
	}
	c.tags(in.Tags)
	return c.done(in.SecretID)
}

func (s *Service) tag(ctx context.Context, r *request, in *tagInput) (any, error) {
	tags, err := tagsOf(in.Tags)
	if err != nil {
		return nil, err
	}
	return nil, s.keeper.Tag(ctx, s.ref(ctx, r, in.SecretID), tags)
}

type untagInput struct {
	SecretID *string  `json:"SecretId"`
	TagKeys  []string `json:"TagKeys"`
}

func (in *untagInput) Check() error {
	var c checks
	c.secretID(in.SecretID)
	if in.TagKeys == nil {
		c.Required(awsjson.Field{Path: "tagKeys"})
	}
	for i := range in.TagKeys {
		c.text("tagKeys."+strconv.Itoa(i+1)+".member", &in.TagKeys[i], lengthTagKey)
	}
	return c.done(in.SecretID)
}

func (s *Service) untag(ctx context.Context, r *request, in *untagInput) (any, error) {
	return nil, s.keeper.Untag(ctx, s.ref(ctx, r, in.SecretID), in.TagKeys)
}
