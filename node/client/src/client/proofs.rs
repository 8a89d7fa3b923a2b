//! What shows that a record, or a tree, is what its publisher signed.

use super::address::stream_path;
use super::{Client, Error};
use crate::query::{ConsistencyQuery, ExportProofQuery};
use crate::types::{
    ConsistencyProof, EvidenceFile, EvidenceView, ExportProof, HeadView, HeadsView, InclusionProof,
};

impl Client {
    /// The heads of a stream that the node knows.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn heads(&self, name: &str) -> Result<HeadsView, Error> {
        self.get(&stream_path(name, "/heads")).await
    }

    /// The signed head of a stream.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn head(&self, name: &str) -> Result<HeadView, Error> {
        let id = self.stream(name).await?.id;
        self.get(&stream_path(&id, "/head")).await
    }

    /// The streams whose publisher signed two histories.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn evidence(&self) -> Result<Vec<EvidenceView>, Error> {
        self.get("/v1/evidence").await
    }

    /// The evidence against the publisher of a stream.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn evidence_of(&self, name: &str) -> Result<EvidenceFile, Error> {
        let id = self.stream(name).await?.id;
        self.get(&format!("/v1/evidence/{id}")).await
    }

    /// A proof that a record is in the stream.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn proof(&self, name: &str, index: u64) -> Result<InclusionProof, Error> {
        self.get(&stream_path(name, &format!("/proof/{index}")))
            .await
    }

    /// A proof that the records with these indexes are in the stream, as far as
    /// it reaches.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn export_proof(
        &self,
        name: &str,
        from: u64,
        to: Option<u64>,
    ) -> Result<ExportProof, Error> {
        let from = Some(from);
        let query = ExportProofQuery { from, to };
        self.get_by(&stream_path(name, "/export-proof"), &query)
            .await
    }

    /// A proof that the first so many records did not change when the stream
    /// grew.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn consistency(
        &self,
        name: &str,
        first: u64,
        second: u64,
    ) -> Result<ConsistencyProof, Error> {
        let second = Some(second);
        let query = ConsistencyQuery { first, second };
        self.get_by(&stream_path(name, "/consistency"), &query)
            .await
    }
}
