"""scikit-learn, with its array API dispatch switched on."""

import numpy as np
import sklearn
from sklearn import metrics, preprocessing
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    RidgeCV,
)
from sklearn.metrics import pairwise
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import extmath
from third_party.row import Row, draws

ROWS: list[Row] = []
normal, uniform, _ = draws(5)


def row(function, call, *args, **options):
    def dispatched(*args):
        with sklearn.config_context(array_api_dispatch=True):
            return call(*args)

    ROWS.append(Row(f"sklearn.{function}", dispatched, args, **options))


X = normal(12, 3)
Z = normal(5, 3)
TRUE = uniform(12, 2)
GUESS = uniform(12, 2)
Y = X @ np.asarray([1.0, -2.0, 0.5]) + 0.1 * normal(12)
LABELS = np.asarray([0, 1] * 6)
WEIGHTS = uniform(12)

# metrics ------------------------------------------------------------------------------------------

for name in (
    *("mean_squared_error", "mean_absolute_error", "r2_score", "root_mean_squared_error"),
    *("mean_squared_log_error", "root_mean_squared_log_error", "mean_absolute_percentage_error"),
    *("explained_variance_score", "mean_pinball_loss", "median_absolute_error"),
):
    function = getattr(metrics, name)
    row(f"metrics.{name}", lambda t, g, f=function: f(t, g, multioutput="raw_values"), TRUE, GUESS)
    row(f"metrics.{name}", lambda t, g, f=function: f(t, g), TRUE, GUESS, variant="scalar")
for name in ("mean_squared_error", "mean_absolute_error", "r2_score"):
    function = getattr(metrics, name)
    row(
        f"metrics.{name}",
        lambda t, g, w, f=function: f(t, g, sample_weight=w, multioutput="raw_values"),
        TRUE,
        GUESS,
        WEIGHTS,
        variant="weights",
    )
for name in (
    "mean_tweedie_deviance",
    "mean_poisson_deviance",
    "mean_gamma_deviance",
    "d2_tweedie_score",
):
    row(f"metrics.{name}", getattr(metrics, name), TRUE[:, 0], GUESS[:, 0])
row("metrics.max_error", metrics.max_error, TRUE[:, 0], GUESS[:, 0])
row("metrics.roc_curve", lambda y, s: metrics.roc_curve(y, s)[2][1:], LABELS, GUESS[:, 0])
row(
    "metrics.precision_recall_curve",
    lambda y, s: metrics.precision_recall_curve(y, s)[2],
    LABELS,
    GUESS[:, 0],
)
row("metrics.det_curve", lambda y, s: metrics.det_curve(y, s)[2], LABELS, GUESS[:, 0])
row("metrics.auc", metrics.auc, np.sort(GUESS[:, 0]), GUESS[:, 1])
row("metrics.log_loss", metrics.log_loss, LABELS, GUESS[:, 0])
row("metrics.brier_score_loss", metrics.brier_score_loss, LABELS, GUESS[:, 0])
row("metrics.hinge_loss", metrics.hinge_loss, LABELS, GUESS[:, 0])
row(
    "metrics.confusion_matrix",
    lambda y, w: metrics.confusion_matrix(y, y, sample_weight=w),
    LABELS,
    WEIGHTS,
)
row(
    "metrics.accuracy_score",
    lambda y, w: metrics.accuracy_score(y, y, sample_weight=w, normalize=False),
    LABELS,
    WEIGHTS,
)

for name in (
    *("cosine_similarity", "cosine_distances", "euclidean_distances", "manhattan_distances"),
    *("linear_kernel", "polynomial_kernel", "sigmoid_kernel", "rbf_kernel", "laplacian_kernel"),
):
    row(f"metrics.pairwise.{name}", getattr(pairwise, name), X, Z)
for name in ("additive_chi2_kernel", "chi2_kernel"):
    row(f"metrics.pairwise.{name}", getattr(pairwise, name), uniform(4, 3), uniform(5, 3))
for name in ("paired_euclidean_distances", "paired_manhattan_distances", "paired_cosine_distances"):
    row(f"metrics.pairwise.{name}", getattr(pairwise, name), X, normal(12, 3))
row("metrics.pairwise.paired_distances", pairwise.paired_distances, X, normal(12, 3))
row("metrics.pairwise.pairwise_distances", pairwise.pairwise_distances, X, Z)
row(
    "metrics.pairwise.pairwise_kernels",
    lambda x, z: pairwise.pairwise_kernels(x, z, metric="rbf"),
    X,
    Z,
)
row(
    "metrics.pairwise.pairwise_distances_argmin_min",
    lambda x, z: pairwise.pairwise_distances_argmin_min(x, z)[1],
    X,
    Z,
)
row(
    "metrics.pairwise.haversine_distances",
    pairwise.haversine_distances,
    uniform(3, 2),
    uniform(4, 2),
)
row("metrics.pairwise.nan_euclidean_distances", pairwise.nan_euclidean_distances, X, Z)

# preprocessing ------------------------------------------------------------------------------------

for name in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "Normalizer", "RobustScaler"):
    row(f"preprocessing.{name}", lambda x, c=getattr(preprocessing, name): c().fit_transform(x), X)
for name in ("PowerTransformer", "QuantileTransformer", "PolynomialFeatures", "SplineTransformer"):
    row(f"preprocessing.{name}", lambda x, c=getattr(preprocessing, name): c().fit_transform(x), X)
row(
    "preprocessing.StandardScaler",
    lambda x: (s := preprocessing.StandardScaler()).inverse_transform(s.fit_transform(x) ** 2),
    X,
    variant="inverse",
)
row(
    "preprocessing.MinMaxScaler",
    lambda x, z: preprocessing.MinMaxScaler(clip=True).fit(x).transform(z),
    X,
    Z,
    variant="clip",
)
row("preprocessing.Binarizer", lambda x: preprocessing.Binarizer().fit_transform(x) * x, X)
row(
    "preprocessing.KernelCenterer", lambda k: preprocessing.KernelCenterer().fit_transform(k), X[:3]
)
row(
    "preprocessing.FunctionTransformer",
    lambda x: preprocessing.FunctionTransformer(lambda a: a**2).fit_transform(x),
    X,
)
for name in (
    "scale",
    "maxabs_scale",
    "minmax_scale",
    "normalize",
    "robust_scale",
    "power_transform",
):
    row(f"preprocessing.{name}", getattr(preprocessing, name), X)
row("preprocessing.binarize", lambda x: preprocessing.binarize(x) * x, X)
row("preprocessing.add_dummy_feature", preprocessing.add_dummy_feature, X)
row(
    "preprocessing.label_binarize",
    lambda y, w: preprocessing.label_binarize(y, classes=[0, 1])[:, 0] * w,
    LABELS,
    WEIGHTS,
)

# estimators ---------------------------------------------------------------------------------------

for solver in ("full", "covariance_eigh"):
    row(
        "decomposition.PCA",
        lambda x, s=solver: PCA(2, svd_solver=s).fit(x).explained_variance_,
        X,
        variant=solver,
    )
row(
    "decomposition.PCA",
    lambda x: PCA(2, svd_solver="full").fit_transform(x),
    X,
    variant="transform",
)
row(
    "decomposition.PCA",
    lambda x: PCA(2, svd_solver="full", whiten=True).fit(x).score_samples(x),
    X,
    variant="score",
)
row("linear_model.Ridge", lambda x, y: Ridge(solver="svd").fit(x, y).coef_, X, Y)
row(
    "linear_model.Ridge",
    lambda x, y, z: Ridge(solver="svd").fit(x, y).predict(z),
    X,
    Y,
    Z,
    variant="predict",
)
row(
    "linear_model.Ridge",
    lambda x, y, a: Ridge(alpha=a, solver="svd").fit(x, y).coef_,
    X,
    Y,
    np.asarray(0.7),
    variant="alpha",
)
row(
    "base.clone",
    lambda x, y, a: clone(Ridge(alpha=a, solver="svd")).fit(x, y).coef_,
    X,
    Y,
    np.asarray(0.7),
)
row(
    "linear_model.Ridge",
    lambda x, y: Ridge(solver="cholesky").fit(x, y).coef_,
    X,
    Y,
    variant="cholesky",
)
row("linear_model.RidgeCV", lambda x, y: RidgeCV(alphas=(0.1, 1.0)).fit(x, y).coef_, X, Y)
row(
    "linear_model.RidgeClassifier",
    lambda x, y: RidgeClassifier(solver="svd").fit(x, y).coef_,
    X,
    LABELS,
)
row("linear_model.LinearRegression", lambda x, y: LinearRegression().fit(x, y).coef_, X, Y)
row("linear_model.LogisticRegression", lambda x, y: LogisticRegression().fit(x, y).coef_, X, LABELS)
row(
    "discriminant_analysis.LinearDiscriminantAnalysis",
    lambda x, y: LinearDiscriminantAnalysis().fit(x, y).decision_function(x),
    X,
    LABELS,
)
row("naive_bayes.GaussianNB", lambda x, y: GaussianNB().fit(x, y).predict_log_proba(x), X, LABELS)
row(
    "mixture.GaussianMixture",
    lambda x: (
        GaussianMixture(2, max_iter=3, tol=0.0, random_state=0, init_params="random").fit(x).means_
    ),
    X,
)
row(
    "kernel_approximation.Nystroem",
    lambda x: Nystroem(n_components=4, random_state=0).fit_transform(x) ** 2,
    X,
)
row(
    "pipeline.make_pipeline",
    lambda x, y: (
        make_pipeline(preprocessing.StandardScaler(), Ridge(solver="svd")).fit(x, y).predict(x)
    ),
    X,
    Y,
)
row("model_selection.train_test_split", lambda x, y: train_test_split(x, y, random_state=0), X, Y)
row("utils.extmath.softmax", extmath.softmax, X)
row("utils.extmath.row_norms", extmath.row_norms, X)
row("utils.extmath.squared_norm", extmath.squared_norm, X)
row("utils.extmath.stable_cumsum", extmath.stable_cumsum, X[:, 0])
row("utils.extmath.randomized_svd", lambda x: extmath.randomized_svd(x, 2, random_state=0)[1], X)
row("utils.extmath.density", lambda x: extmath.density(x) * x, X)
row("utils.extmath.weighted_mode", lambda x, w: extmath.weighted_mode(x, w)[1], X, X**2)
row("utils.extmath.cartesian", lambda a, b: extmath.cartesian([a, b]), X[:, 0], Z[:, 0])
