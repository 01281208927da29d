CREATE TABLE public.outbox (
    message_id character varying(255) NOT NULL,
    stream_name character varying(255) NOT NULL,
    type character varying(255) NOT NULL,
    data json NOT NULL,
    metadata_ bytea NOT NULL,
    created_at timestamp without time zone,
    published_at timestamp without time zone,
    retry_count integer,
    last_processed_at timestamp without time zone,
    last_error json,
    status character varying(32),
    max_retries integer,
    next_retry_at timestamp without time zone,
    locked_until timestamp without time zone,
    locked_by character varying(128),
    sequence_number integer,
    correlation_id character varying(255),
    causation_id character varying(255),
    partition_key character varying(255),
    priority integer,
    target_broker character varying(128) NOT NULL,
    id character varying(255) NOT NULL,
    _version integer
);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);
CREATE INDEX ix_outbox_active ON public.outbox USING btree (status, priority DESC) WHERE ((status)::text = ANY ((ARRAY['pending'::character varying, 'failed'::character varying])::text[]));
CREATE INDEX ix_outbox_correlation_id ON public.outbox USING btree (correlation_id);
CREATE UNIQUE INDEX uq_outbox_message_id_target_broker ON public.outbox USING btree (message_id, target_broker);
